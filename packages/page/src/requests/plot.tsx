/** One plot of points over time. The plot is drawn on a canvas, so a sentence beside it says what it shows. */
import { useEffect, useRef } from 'preact/hooks';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { hueOf } from '../state/store.ts';
import { theme } from '../state/theme.ts';
import { median, type Series } from '../state/series.ts';

interface PlotProps {
  readonly title: string;
  readonly unit: string;
  readonly series: Series;
  readonly format: (value: number) => string;
}

const height = 150;

const cssColour = (element: Element, name: string): string => getComputedStyle(element).getPropertyValue(name).trim();

const axis = (element: Element): Pick<UPlot.Axis, 'stroke' | 'grid' | 'ticks' | 'font'> => ({
  stroke: cssColour(element, '--dim'),
  grid: { stroke: cssColour(element, '--line'), width: 1 },
  ticks: { show: false },
  font: '11px system-ui, sans-serif',
});

const optionsFor = (element: HTMLElement, { series, format }: PlotProps): UPlot.Options => ({
  width: element.clientWidth,
  height,
  padding: [8, 30, 0, 0],
  legend: { show: false },
  cursor: { show: false },
  scales: { y: { range: (_plot, _min, max) => [0, Math.max(max * 1.15, 1e-3)] } },
  axes: [
    { ...axis(element), size: 26, space: 90, values: (_plot, times) => times.map((secs) => clockOf(secs)) },
    { ...axis(element), size: 56, values: (_plot, values) => values.map((value) => format(value)) },
  ],
  series: [
    {},
    ...series.models.map(({ model }) => {
      const stroke = cssColour(element, `--hue-${hueOf(model)}`);
      // Points alone: a line would tell of times at which nothing was measured.
      return { label: model, stroke, paths: () => null, points: { show: true, size: 6, width: 0, fill: stroke } };
    }),
  ],
});

const clockOf = (secs: number): string =>
  new Date(secs * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

const Medians = ({ series, format }: Pick<PlotProps, 'series' | 'format'>) => (
  <ul class="legend">
    {series.models.map(({ model, values }) => (
      <li key={model}>
        <span class={`swatch hue-${hueOf(model)}`} aria-hidden="true" />
        <span class="model-id">{model}</span> median {format(median(values.filter((value) => value !== null)) ?? 0)}
      </li>
    ))}
  </ul>
);

export const Plot = (props: PlotProps) => {
  const { title, unit, series, format } = props;
  const box = useRef<HTMLDivElement>(null);
  const shown = theme.value;
  const hues = series.models.map(({ model }) => hueOf(model)).join(' ');
  useEffect(() => {
    const element = box.current;
    if (element === null || series.times.length === 0) return undefined;
    const data = [[...series.times], ...series.models.map(({ values }) => [...values])] as UPlot.AlignedData;
    const plot = new UPlot(optionsFor(element, props), data, element);
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [series, shown, hues]);
  return (
    <figure class="card plot">
      <figcaption>
        {title} <span class="sub">{unit}</span>
      </figcaption>
      {series.times.length === 0 ? <p class="empty">No request has come to this yet.</p> : null}
      <div ref={box} class="canvas" aria-hidden="true" />
      <Medians series={series} format={format} />
    </figure>
  );
};
