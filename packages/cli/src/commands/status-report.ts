/** `cortex status` as lines: nodes, their devices, the models on them, and what is waiting. Pure. */
import type { DeviceSnapshot, FleetSnapshot, NodeModelSnapshot, NodeSnapshot, PlanSnapshot } from '@cortex/core';
import { bar } from '../terminal/bar.ts';
import { oneLine } from '../terminal/plain-text.ts';
import { counted, durationText, megabytesText, percentText } from '../terminal/quantities.ts';
import { tableLines } from '../terminal/table.ts';
import type { Terminal } from '../terminal/terminal.ts';

type Paint = Pick<Terminal, 'style' | 'isTty'>;

const barWidth = 16;
/** Of the models that are only on disk; `cortex models` lists all. */
const idleModelsShown = 5;

const stateText = (node: NodeSnapshot, { style }: Paint): string => {
  if (node.reach === 'down') return style('red', 'down');
  if (node.reach === 'unknown') return style('yellow', 'not asked yet');
  if (node.reach === 'silent') return style('yellow', 'silent');
  if (node.draining) return style('yellow', 'draining');
  if (node.circuit !== 'closed') return style('yellow', 'failing');
  return style('green', 'up');
};

const memoryText = (device: DeviceSnapshot, paint: Paint): string => {
  const { vram_total_mb: totalMb, vram_free_mb: freeMb } = device;
  const usedMb = Math.max(0, totalMb - freeMb);
  const figures = `${megabytesText(usedMb)} of ${megabytesText(totalMb)}`;
  if (!paint.isTty) return figures;
  const fraction = totalMb === 0 ? 0 : usedMb / totalMb;
  const color = fraction > 0.95 ? 'red' : fraction > 0.8 ? 'yellow' : 'green';
  return `${paint.style(color, bar(fraction, barWidth))} ${figures}`;
};

const heatText = (device: DeviceSnapshot): string =>
  [
    device.utilization_pct === null ? null : `${Math.round(device.utilization_pct)} %`,
    device.temp_c === null ? null : `${Math.round(device.temp_c)} °C`,
  ]
    .filter((part) => part !== null)
    .join(', ');

const deviceLines = (node: NodeSnapshot, paint: Paint): readonly string[] => {
  const columns = [{ title: '' }, { title: '' }, { title: '' }, { title: '' }, { title: '' }] as const;
  const rows = node.devices.map((device) => [
    `  ${device.backend} ${device.index}`,
    oneLine(device.name),
    memoryText(device, paint),
    heatText(device),
    device.poisoned ? paint.style('red', `out of service: ${oneLine(device.poisoned_reason ?? 'failed')}`) : '',
  ]);
  const broken = node.broken_groups.map(({ devices, reason }) =>
    paint.style('red', `  devices ${devices.join(', ')} cannot be used together until a restart: ${oneLine(reason)}`),
  );
  return [...tableLines(columns, rows).slice(1), ...broken];
};

const doingText = (model: NodeModelSnapshot, paint: Paint): string => {
  if (model.status === 'loading') {
    const { progress } = model;
    if (progress === null) return paint.style('yellow', 'loading');
    const left = progress.eta_secs === null ? '' : `, ${durationText(progress.eta_secs * 1000)} left`;
    return paint.style('yellow', `loading ${percentText(progress.fraction)}${left}`);
  }
  if (model.status === 'failed') return paint.style('red', 'failed');
  if (model.closing_for !== null) return paint.style('yellow', 'making room');
  return model.status === 'loaded' ? paint.style('green', 'loaded') : model.status;
};

const loadText = (model: NodeModelSnapshot): string => {
  if (model.status !== 'loaded') return '';
  const running = model.in_flight + model.foreign_in_flight;
  if (running > 0) return `${running} of ${model.max_in_flight} running`;
  return model.idle_secs === null ? 'idle' : `idle ${durationText(model.idle_secs * 1000)}`;
};

/** Of a model whose layers are on several devices: `20 layers on cuda 0, 8 on the host (3 GB)`. */
const layersText = ({ layers }: NodeModelSnapshot, { devices }: NodeSnapshot): string => {
  const where = (index: number | null, mb: number): string => {
    if (index === null) return `the host (${megabytesText(mb)})`;
    return `${devices.find((device) => device.index === index)?.backend ?? 'device'} ${index}`;
  };
  const parts = layers.filter((part) => part.layers > 0);
  return parts
    .map((part, i) => `${part.layers}${i === 0 ? ' layers' : ''} on ${where(part.device, part.mb)}`)
    .join(', ');
};

const isThere = ({ status }: NodeModelSnapshot): boolean => status !== 'available';

const modelLines = (node: NodeSnapshot, paint: Paint): readonly string[] => {
  const shown = node.models.filter(isThere);
  const onDisk = node.models.filter((model) => !isThere(model));
  const columns = Array.from({ length: 7 }, () => ({ title: '' }));
  const rows = shown.map((model) => [
    `  ${paint.style('bold', oneLine(model.id))}`,
    doingText(model, paint),
    model.status === 'loaded' && model.vram_used_mb > 0 ? megabytesText(model.vram_used_mb) : '',
    loadText(model),
    model.tok_s_decode === null ? '' : `${model.tok_s_decode.toFixed(1)} tok/s`,
    layersText(model, node),
    model.reason === null ? '' : oneLine(model.reason),
  ]);
  const names = onDisk.slice(0, idleModelsShown).map(({ id }) => oneLine(id));
  const more = onDisk.length > idleModelsShown ? ` and ${onDisk.length - idleModelsShown} more` : '';
  const disk = onDisk.length === 0 ? [] : [paint.style('dim', `  on disk: ${names.join(', ')}${more}`)];
  return [...tableLines(columns, rows).slice(1), ...disk];
};

const nodeLines = (node: NodeSnapshot, paint: Paint): readonly string[] => {
  const facts = [
    node.endpoint,
    node.uptime_secs === null ? null : `up ${durationText(node.uptime_secs * 1000)}`,
    counted(node.in_flight, 'request'),
    node.defrag_due ? 'due for a restart' : null,
  ].filter((part) => part !== null);
  const head = `${paint.style('bold', oneLine(node.name))}  ${stateText(node, paint)}  ${paint.style('dim', facts.join(' · '))}`;
  const why = node.reach === 'down' && node.down_reason !== null ? [`  ${oneLine(node.down_reason)}`] : [];
  return [head, ...why, ...deviceLines(node, paint), ...modelLines(node, paint)];
};

const planLine = (plan: PlanSnapshot): string => {
  const instead = plan.evicting.length === 0 ? '' : ` in the place of ${plan.evicting.map(oneLine).join(', ')}`;
  const left = plan.eta_secs === null ? '' : `, ${durationText(plan.eta_secs * 1000)} left`;
  return `${plan.phase} ${oneLine(plan.model)} on ${plan.node}${instead}: ${percentText(plan.fraction)}${left}`;
};

/** @param url of the gateway that was asked */
export const statusLines = (fleet: FleetSnapshot, url: string, paint: Paint): readonly string[] => {
  const up = fleet.nodes.filter(({ reach }) => reach === 'up').length;
  const loaded = fleet.nodes.flatMap(({ models }) => models).filter(({ status }) => status === 'loaded').length;
  const { waiting, oldest_secs: oldestSecs } = fleet.queue;
  const queue = waiting === 0 ? 'none waiting' : `${waiting} waiting, ${durationText(oldestSecs * 1000)} at most`;
  const nodes = `${up} of ${counted(fleet.nodes.length, 'node')} up`;
  return [
    `${paint.style('bold', 'cortex')}  ${url}  ${nodes} · ${counted(loaded, 'model')} loaded · ${queue}`,
    ...fleet.plans.map(planLine),
    ...fleet.nodes.flatMap((node) => ['', ...nodeLines(node, paint)]),
  ];
};
