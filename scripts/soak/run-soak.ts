/**
 * Mixed traffic against one real neuron for a while, then its books are checked: every request accounted for, every
 * slot free and the whole queue usable, and nothing grown that should be level.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setInterval, setTimeout as delay } from 'node:timers/promises';
import { tinyQwen3 } from '../../packages/neuron/test/generated-models.ts';
import { writeCheckpoint } from '../../packages/neuron/test/write-checkpoint.ts';
import {
  fixtureEos,
  fixtureModel,
  shapesModel,
  startNeuronProcess,
  type NeuronProcess,
} from '../../test/e2e/neuron-process.ts';
import { randomFrom } from '../../test/e2e/shapes-picture.ts';
import { exchange, type Outcome } from './exchange.ts';
import { differences, Ledger } from './ledger.ts';
import { leaksIn } from './leaks.ts';
import { readProcess, scrape, type Reading } from './process-readings.ts';
import { comingModel, nextQuestion, type Random } from './traffic.ts';

export interface SoakOptions {
  readonly secs: number;
  /** Clients, each with one request at a time; more than are served and waiting at once. */
  readonly nClients: number;
  readonly seed: number;
  /** See `NeuronOptions`: each thread of a neuron run from source keeps the compiler's memory, too. */
  readonly isBuilt?: boolean;
  readonly onReading?: (reading: Reading, ledger: Ledger) => void;
}

export interface SoakResult {
  readonly ledger: Ledger;
  readonly readings: readonly Reading[];
  /** With nothing loaded: after a first part of the traffic, which warms up, and after all of it. */
  readonly empty: { readonly before: Reading; readonly after: Reading };
  /** Everything that is wrong; empty after a good soak. */
  readonly faults: readonly string[];
}

const nSlots = 4;
const queueMax = 6;
const contextMax = 1024;
const ggml = [
  `parallel = ${nSlots}`,
  `queue_max = ${queueMax}`,
  `context_max = ${contextMax}`,
  'kv_tokens = 2560',
  'prefix_cache_mb = 24',
];

const settleMs = 20_000;

const until = async (what: string, condition: () => Promise<boolean>): Promise<string | null> => {
  for (const startMs = performance.now(); performance.now() - startMs < settleMs;) {
    if (await condition()) return null;
    await delay(50);
  }
  return `${what} did not come to pass within ${settleMs / 1000} s`;
};

const untilIdle = (neuron: NeuronProcess): Promise<string | null> =>
  until('an idle neuron', async () => {
    const { models } = await neuron.health();
    return models.every(({ in_flight, queue_depth }) => in_flight === 0 && queue_depth === 0);
  });

const unloadModes = ['refuse', 'wait', 'force'] as const;

/** A model goes and comes back, whether it is used or not. */
const comeAndGo = async (neuron: NeuronProcess, random: Random, ledger: Ledger, endMs: number): Promise<void> => {
  while (performance.now() < endMs) {
    await delay(random() * 1500);
    const mode = unloadModes[Math.floor(random() * unloadModes.length)];
    const unloaded = await neuron.post('/models/unload', { model_id: comingModel, mode });
    const isRight = unloaded.status === 200 || (unloaded.status === 409 && mode === 'refuse');
    if (!isRight) ledger.fault(`unload ${mode}: ${JSON.stringify(unloaded)}`);
    if (random() < 0.5) continue;
    const loaded = await neuron.post('/models/load', { model_id: comingModel, wait: true });
    if (loaded.status !== 200) ledger.fault(`load: ${JSON.stringify(loaded)}`);
  }
};

const client = async (neuron: NeuronProcess, random: Random, ledger: Ledger, endMs: number): Promise<void> => {
  while (performance.now() < endMs) {
    const question = nextQuestion(random);
    const outcome = await exchange(neuron.url, question);
    ledger.note(question, outcome);
    // People pause; a client told to come back does so, sooner than it was told.
    await delay(outcome.kind === 'error' && outcome.status === 429 ? 200 : random() * 60);
  }
};

const rambling = (nTokens: number, max: number): string =>
  JSON.stringify({
    model: fixtureModel,
    prompt: Array.from({ length: nTokens }, (_, i) => 5 + (i % 400)),
    max_tokens: max,
    logit_bias: fixtureEos,
  });

const ask = (neuron: NeuronProcess, body: string): Promise<Outcome> =>
  exchange(neuron.url, { path: '/v1/completions', body, leaveAfterMs: null });

/** All slots at once, the whole queue behind them, and one more; then the longest context there may be. */
const checkCapacity = async (neuron: NeuronProcess, ledger: Ledger): Promise<void> => {
  const long = Array.from({ length: nSlots + queueMax }, () => ask(neuron, rambling(20, 300)));
  const full = await until('full slots and a full queue', async () => {
    const { models } = await neuron.health();
    const model = models.find(({ id }) => id === fixtureModel);
    return model?.in_flight === nSlots && model.queue_depth === queueMax;
  });
  if (full !== null) ledger.fault(full);
  const more = await ask(neuron, rambling(20, 300));
  if (more.kind !== 'error' || more.status !== 429) ledger.fault(`one too many is told ${JSON.stringify(more)}`);
  const outcomes = [...(await Promise.all(long)), await ask(neuron, rambling(contextMax - 1, 1))];
  for (const outcome of outcomes) if (outcome.kind !== 'done') ledger.fault(`at the end: ${JSON.stringify(outcome)}`);
};

const unloadAll = async (neuron: NeuronProcess, ledger: Ledger): Promise<void> => {
  for (const model_id of [fixtureModel, shapesModel, comingModel]) {
    const { status } = await neuron.post('/models/unload', { model_id, mode: 'wait' });
    if (status !== 200) ledger.fault(`${model_id} cannot be unloaded at the end: ${status}`);
  }
};

const warmUpShare = 0.2;
const everyMs = (secs: number): number => Math.min(5000, Math.max(500, (secs * 1000) / 40));

const traffic = async (
  neuron: NeuronProcess,
  { nClients, seed }: SoakOptions,
  ledger: Ledger,
  secs: number,
): Promise<void> => {
  const endMs = performance.now() + secs * 1000;
  const clients = Array.from({ length: nClients }, (_, i) =>
    client(neuron, randomFrom(seed * 1000 + i), ledger, endMs),
  );
  await Promise.all([comeAndGo(neuron, randomFrom(seed), ledger, endMs), ...clients]);
  const idle = await untilIdle(neuron);
  if (idle !== null) ledger.fault(idle);
};

const soak = async (neuron: NeuronProcess, options: SoakOptions): Promise<SoakResult> => {
  const { secs, seed, onReading } = options;
  const ledger = new Ledger();
  const startMs = performance.now();
  const read = (): Promise<Reading> => readProcess(neuron.process.pid ?? 0, neuron.url, startMs);
  const countsBefore = await scrape(neuron.url);
  await traffic(neuron, options, ledger, secs * warmUpShare);
  await unloadAll(neuron, ledger);
  const before = await read();
  const readings: Reading[] = [];
  const watch = new AbortController();
  const watching = (async () => {
    for await (const _ of setInterval(everyMs(secs), null, { signal: watch.signal })) {
      const reading = await read();
      readings.push(reading);
      onReading?.(reading, ledger);
    }
  })().catch((error: unknown) => {
    if (!watch.signal.aborted) throw error;
  });
  await traffic(neuron, { ...options, seed: seed + 1 }, ledger, secs * (1 - warmUpShare));
  watch.abort();
  await watching;
  for (const difference of differences(ledger, countsBefore, await scrape(neuron.url))) ledger.fault(difference);
  await checkCapacity(neuron, ledger);
  await unloadAll(neuron, ledger);
  const empty = { before, after: await read() };
  return { ledger, readings, empty, faults: [...ledger.faults, ...leaksIn(readings, empty)] };
};

/** @throws Error when the neuron does not come up. */
export const runSoak = async (options: SoakOptions): Promise<SoakResult> => {
  const dir = await mkdtemp(join(tmpdir(), 'soak-'));
  try {
    await writeCheckpoint(join(dir, comingModel), tinyQwen3());
    await using neuron = await startNeuronProcess({ modelDirs: [dir], ggml, isBuilt: options.isBuilt === true });
    return await soak(neuron, options);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};
