/** What `cortex up` shows: what was found on this machine, and where to go from there. Pure. */
import type { Discovery, Health, NodeModel } from '@cortex/core';
import { oneLine } from '../terminal/plain-text.ts';
import { megabytesText, tokensText } from '../terminal/quantities.ts';
import { tableLines } from '../terminal/table.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { exampleModel } from '../example-model.ts';

type Paint = Pick<Terminal, 'style'>;

export interface Found {
  readonly discovery: Discovery;
  readonly health: Health;
  readonly models: readonly NodeModel[];
}

const modelsShown = 8;
const labelWidth = 9;

const label = (text: string): string => `  ${text.padEnd(labelWidth)}`;

/** The label stands before the first line only. */
const labelled = (name: string, lines: readonly string[]): readonly string[] =>
  lines.map((line, i) => label(i === 0 ? name : '') + line);

const deviceLines = ({ discovery, health }: Found): readonly string[] => {
  const rows = discovery.devices.map((device) => {
    const state = health.devices.find(({ index }) => index === device.index);
    const free = state === undefined ? '' : `${megabytesText(state.vram_free_mb)} free of `;
    return [`${device.backend} ${device.index}`, oneLine(device.name), `${free}${megabytesText(device.vram_total_mb)}`];
  });
  return tableLines([{ title: '' }, { title: '' }, { title: '' }], rows).slice(1);
};

const gpuIsIdle = ({ driver_version: driver, devices }: Discovery): boolean =>
  driver !== null && driver !== undefined && !devices.some(({ backend }) => backend === 'cuda' || backend === 'vulkan');

const modelLines = (models: readonly NodeModel[], { style }: Paint): readonly string[] => {
  if (models.length === 0) return [`none on this machine; fetch one with: cortex pull ${exampleModel}`];
  const rows = models
    .slice(0, modelsShown)
    .map((model) => [
      style('bold', oneLine(model.id)),
      model.servable.ok ? model.capabilities.join(', ') : `cannot be served: ${oneLine(model.servable.reason ?? '?')}`,
      model.limit === null || model.limit === undefined ? '' : `${tokensText(model.limit.context)} tokens`,
      model.vram_needed_mb === null || model.vram_needed_mb === undefined
        ? ''
        : `needs ${megabytesText(model.vram_needed_mb)}`,
    ]);
  const more = models.length > modelsShown ? [`and ${models.length - modelsShown} more: cortex models`] : [];
  return [...tableLines([{ title: '' }, { title: '' }, { title: '' }, { title: '' }], rows).slice(1), ...more];
};

/** Devices, memory, models. */
export const foundLines = (found: Found, paint: Paint): readonly string[] => {
  const { discovery } = found;
  const idle = gpuIsIdle(discovery)
    ? [paint.style('yellow', 'an NVIDIA GPU is here and not used: cortex doctor says what to install')]
    : [];
  return [
    ...labelled('machine', [`${oneLine(discovery.hostname)}, ${oneLine(discovery.os)}`]),
    ...labelled('devices', [...deviceLines(found), ...idle]),
    ...labelled('models', modelLines(found.models, paint)),
  ];
};

export interface Addresses {
  readonly neuronUrl: string;
  readonly neuronPid: number | undefined;
  readonly url: string;
  readonly metricsUrl: string;
}

export const addressLines = ({ neuronUrl, neuronPid, url, metricsUrl }: Addresses, paint: Paint): readonly string[] => [
  ...labelled('open', [paint.style('cyan', `${url}/`)]),
  ...labelled('API', [`${url}/v1  (OpenAI, Anthropic, Responses)`]),
  ...labelled('metrics', [metricsUrl]),
  ...labelled('neuron', [`${neuronUrl}  (process ${neuronPid ?? '?'})`]),
];
