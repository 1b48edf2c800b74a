/**
 * `npm run bench devices`: the same model and prompt on each device found, on two that share it, and in layers over two and
 * over one and the CPU, with each number type of the weights, and how far its logits are from those of f32 on the CPU.
 * Medians, after a first run that makes kernels ready.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { quantNames } from '@cortex/core';
import { loadPromptSide } from '../packages/neuron/src/harness/prompt-side.ts';
import type { WeightType } from '../packages/neuron/src/model/weight-types.ts';
import type { Answer, Figures, Place } from './bench-devices/job.ts';
import { runJob, softwareDriver } from './bench-devices/place-process.ts';

const allTypes = quantNames.filter((name) => name !== 'auto');
const usage = `npm run bench devices -- [--model DIR] [--device CPU|Vulkan0|CUDA0+CUDA1|CUDA0/CUDA1|CUDA0/CPU|…] [--type ${allTypes.join('|')}] [--prompt N] [--decode N] [--runs N] [--threads N] [--json]`;

const bundled = fileURLToPath(new URL('../models/shapes-vl', import.meta.url));
const text = 'How many shapes are there, what color is the large star, and where is the small blue square? ';

const countOf = (given: string): number => {
  const count = Number(given);
  if (!Number.isInteger(count) || count < 1) throw new Error(usage);
  return count;
};

const optionsOf = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: bundled },
      device: { type: 'string', multiple: true },
      type: { type: 'string', multiple: true },
      prompt: { type: 'string', default: '128' },
      decode: { type: 'string', default: '32' },
      runs: { type: 'string', default: '3' },
      threads: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'boolean', default: false },
    },
  });
  const unknown = values.type?.find((name) => !allTypes.some((type) => type === name));
  if (unknown !== undefined) throw new Error(`there is no type ${unknown}; ${usage}`);
  return {
    dir: path.resolve(values.model),
    devices: values.device ?? null,
    types: allTypes.filter((name) => values.type === undefined || values.type.includes(name)),
    nPrompt: countOf(values.prompt),
    nDecode: countOf(values.decode),
    nRuns: countOf(values.runs),
    threads: countOf(values.threads),
    isJson: values.json,
  };
};

/** The same words over and over, in the model's own tokens. */
const promptIds = async (dir: string, nTokens: number): Promise<readonly number[]> => {
  const side = await loadPromptSide(dir, path.basename(dir));
  try {
    const ids = await side.thread.encode(text, { parseSpecial: false, addSpecial: false });
    return Array.from({ length: nTokens }, (_, i) => ids[i % ids.length] ?? 0);
  } finally {
    await side.close();
  }
};

interface Found {
  readonly places: readonly Place[];
  readonly env: Readonly<Record<string, string>>;
}

const listed = async (env: Found['env']): Promise<Found> => {
  const answer = await runJob({ kind: 'list' }, env);
  if (answer.kind !== 'listed') throw new Error(answer.kind === 'failed' ? answer.reason : 'no list of devices');
  return { places: answer.places, env };
};

const hasGpu = ({ places }: Found): boolean => places.some(({ backend }) => backend !== 'cpu');

const findPlaces = async (): Promise<Found> => {
  const own = await listed({});
  if (hasGpu(own) || process.env['GGML_VK_VISIBLE_DEVICES'] !== undefined) return own;
  const software = await listed(softwareDriver);
  return hasGpu(software) ? software : own;
};

interface Row {
  readonly device: string;
  readonly type: WeightType;
  readonly answer: Answer;
}

const cells = ({ loadMs, coldMs, ttftMs, prefillTokS, decodeTokS, memoryMb, ...rest }: Figures): readonly string[] => [
  memoryMb.toFixed(1),
  loadMs.toFixed(0),
  coldMs.toFixed(0),
  ttftMs.toFixed(1),
  prefillTokS.toFixed(0),
  decodeTokS.toFixed(0),
  rest.deviation.toExponential(1),
  rest.maxAbs.toExponential(1),
  `${(100 * rest.sameTop).toFixed(0)} %`,
];

const heads = ['MiB', 'load ms', 'cold ms', 'TTFT ms', 'prefill t/s', 'decode t/s', 'rel. rms', 'max |Δ|', 'same top'];

const line = (device: string, type: string, values: readonly string[]): string =>
  `  ${device.padEnd(15)} ${type.padEnd(7)}${values.map((value, i) => value.padStart((heads[i] ?? '').length + 2)).join('')}`;

const shown = ({ device, type, answer }: Row): string =>
  answer.kind === 'measured'
    ? line(device, type, cells(answer.figures))
    : line(device, type, [answer.kind === 'failed' ? answer.reason : 'no figures']);

/** @throws Error for names that are not there. */
const placeOf = (name: string, places: readonly Place[]): Place => {
  const isByLayers = name.includes('/');
  const members = name.split(/[+/]/).map((one) => {
    const found = places.find((place) => place.name === one);
    if (found === undefined) throw new Error(`there are ${places.map((place) => place.name).join(', ')} here`);
    return found;
  });
  const areOnHost = members.at(-1)?.backend === 'cpu';
  // By layers the host is one of them in any case.
  const [first, ...others] = isByLayers && areOnHost ? members.slice(0, -1) : members;
  if (first === undefined) throw new Error('no device is named');
  const place = { ...first, name, others: others.map(({ index }) => index) };
  return isByLayers ? { ...place, layers: { areOnHost } } : place;
};

/**
 * The first two of a kind share the model, then have layers of their own, then the first and the CPU. Where there is nothing
 * else the CPU does so with itself.
 */
const groupsOf = ({ places }: Found): readonly string[] => {
  const gpus = places.filter(({ backend }) => backend !== 'cpu');
  const [first, second] = gpus.filter(({ backend }) => backend === gpus[0]?.backend);
  if (first === undefined) return ['CPU+CPU', 'CPU/CPU'];
  const overBoth = second === undefined ? ['CPU+CPU'] : ['+', '/'].map((sign) => `${first.name}${sign}${second.name}`);
  return [...overBoth, `${first.name}/CPU`];
};

/** f32 on the CPU comes first: the others are held against it. */
const inOrder = (found: Found, wanted: readonly string[] | null): readonly Place[] => {
  const { places } = found;
  const cpu = places.filter(({ backend }) => backend === 'cpu');
  const others = places.filter(({ backend }) => backend !== 'cpu');
  // A software driver is there twice.
  const distinct = found.env === softwareDriver ? others.slice(0, 1) : others;
  const names = wanted ?? [...[...cpu, ...distinct].map(({ name }) => name), ...groupsOf(found)];
  return names.map((name) => placeOf(name, places));
};

export const run = async (args: readonly string[]): Promise<void> => {
  const { dir, devices, types, isJson, nPrompt, ...counts } = optionsOf(args);
  const found = await findPlaces();
  const places = inOrder(found, devices);
  const cpu = found.places.find(({ backend }) => backend === 'cpu');
  if (cpu === undefined) throw new Error('ggml finds no CPU');
  const tell = (words: string): void => (isJson ? undefined : console.log(words));
  const scratch = mkdtempSync(path.join(tmpdir(), 'bench-devices-'));
  const file = path.join(scratch, 'logits');
  const rows: Row[] = [];
  try {
    const ids = await promptIds(dir, nPrompt);
    const base = { kind: 'measure', dir, ids, ...counts } as const;
    const exact = await runJob({ ...base, place: cpu, type: 'f32', reference: { file, isWritten: false } }, found.env);
    if (exact.kind === 'failed') throw new Error(`${cpu.name} f32: ${exact.reason}`);
    tell(`${path.basename(dir)}: ${nPrompt} prompt tokens, ${counts.nDecode} decoded, ${counts.threads} CPU threads`);
    for (const place of places) {
      tell(`\n${place.name}: ${place.description}\n${line('', '', heads)}`);
      for (const type of types) {
        const isExact = place.name === cpu.name && type === 'f32';
        const job = { ...base, place, type, reference: { file, isWritten: true } };
        const row: Row = { device: place.name, type, answer: isExact ? exact : await runJob(job, found.env) };
        rows.push(row);
        tell(shown(row));
      }
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
  if (!isJson) return;
  const figures = rows.map(({ device, type, answer }) => ({
    device,
    type,
    ...(answer.kind === 'measured' ? answer.figures : { failed: answer.kind === 'failed' ? answer.reason : '' }),
  }));
  console.log(JSON.stringify({ model: path.basename(dir), nPrompt, ...counts, places, figures }, null, 2));
};
