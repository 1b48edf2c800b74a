/** The dashboard and the alerts under `deploy/` ask only for metrics and labels that the programs have. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEdge, type Edge } from './start-edge.ts';

const read = (path: string): string => readFileSync(new URL(`../../../deploy/${path}`, import.meta.url), 'utf8');

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}
const dashboard = JSON.parse(read('grafana/cortex.json')) as Dashboard;
const targets = dashboard.panels.flatMap((panel) => panel.targets.map((target) => ({ panel, ...target })));
const alerts = [...read('prometheus/alerts.yml').matchAll(/expr: (?:\|\n)?([\s\S]*?)\n\s+(?:for|annotations):/g)];

/** The words of an expression that name metrics, with the labels each is asked for by `{…}`, `by (…)` and a legend. */
const metricsOf = (expression: string): readonly string[] => expression.match(/\bcortex_[a-z_]+/g) ?? [];
const selectorsOf = (expression: string): readonly (readonly [metric: string, labels: readonly string[]])[] =>
  [...expression.matchAll(/\b(cortex_[a-z_]+)\{([^}]*)\}/g)].map(([, metric = '', inner = '']) => [
    metric,
    [...inner.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map((match) => match[1] ?? ''),
  ]);
const groupedBy = (expression: string): readonly string[] =>
  [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) => (match[1] ?? '').split(/,\s*/));

/** Label names by sample name, as one scrape after traffic of every kind shows them. */
const labels = new Map<string, ReadonlySet<string>>();
const names = new Set<string>();
let edge: Edge | undefined;

beforeAll(async () => {
  edge = await startEdge({});
  const ask = (body: object): Promise<Response> =>
    fetch(`${edge?.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }], ...body }),
    });
  await (await ask({ stream: true })).text();
  await (await ask({ model: 'nobody-has-it' })).text();
  for (const line of (await edge.metrics.text()).split('\n')) {
    const declared = /^# TYPE (\w+) (\w+)$/.exec(line);
    if (declared !== null) {
      const suffixes = declared[2] === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      for (const suffix of suffixes) names.add(`${declared[1]}${suffix}`);
    }
    const sample = /^(\w+)\{(.*)\} \S+$/.exec(line);
    if (sample === null) continue;
    const [, name = '', inner = ''] = sample;
    labels.set(name, new Set([...inner.matchAll(/(\w+)="/g)].map((match) => match[1] ?? '')));
  }
});
afterAll(() => edge?.close());

describe('the dashboard', () => {
  it('asks only for metrics that exist', () => {
    expect(targets.length).toBeGreaterThan(15);
    for (const { expr, panel } of targets) {
      expect(metricsOf(expr).length, panel.title).toBeGreaterThan(0);
      for (const metric of metricsOf(expr)) expect(names, panel.title).toContain(metric);
    }
    for (const { query } of dashboard.templating.list)
      for (const metric of metricsOf(JSON.stringify(query))) expect(names).toContain(metric);
  });

  it('asks each for labels that it has', () => {
    expect(labels.size).toBeGreaterThan(10);
    for (const { expr, panel } of targets)
      for (const [metric, asked] of selectorsOf(expr)) {
        const known = labels.get(metric);
        expect(known === undefined ? [] : asked.filter((label) => !known.has(label)), panel.title).toEqual([]);
      }
  });

  it('names in a legend only what its sums keep', () => {
    for (const { expr, legendFormat, panel } of targets) {
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1] ?? '');
      const kept = groupedBy(expr);
      const known = kept.length > 0 ? kept : ['node', 'device'];
      for (const label of shown) expect(known, panel.title).toContain(label);
    }
  });

  it('shows nothing failed, running or waiting as 0, where such a series has not begun', () => {
    const late = /cortex_(request_errors_total|model_in_flight|model_queue_depth)/;
    const stats = targets.filter(({ panel, expr }) => panel.type === 'stat' && late.test(expr));
    expect(stats).toHaveLength(3);
    for (const { expr, panel } of stats) expect(expr, panel.title).toContain('or vector(0)');
  });

  it('lays its panels beside each other, none over another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...dashboard.panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
    expect(new Set(dashboard.panels.map((panel) => panel.id)).size).toBe(dashboard.panels.length);
  });
});

describe('the alerts', () => {
  it('ask only for metrics that exist', () => {
    const asked = alerts.flatMap((match) => metricsOf(match[1] ?? ''));
    expect(asked.length).toBeGreaterThan(3);
    for (const metric of asked) expect(names).toContain(metric);
  });
});
