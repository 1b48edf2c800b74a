/**
 * The engine alone against llama.cpp on the same weights: each in a process of its own, one at work at a time, in
 * turns, so that what else the machine does falls on both. Choosing the next token is left out on both sides. Both compute
 * with as many threads.
 */
import { EngineProcess, llamaProgram } from '../../packages/neuron/test/peer/engine-process.ts';
import type { BenchModel } from './bench-models.ts';
import { median } from '../median.ts';
import { rssMb, type Measurement } from './measurement.ts';

const cortexProgram = new URL('../../packages/neuron/test/peer/cortex-program.ts', import.meta.url);

const nPrompt = 512;
const nStreams = 8;
const nPast = 64;
const nSteps = { single: 32, batched: 12 } as const;

/** `auto`: as each engine does by itself, which on a CPU is f32 here and f16 in llama.cpp. */
export const kvNames = ['auto', 'f16', 'f32'] as const;

export interface EngineRunOptions {
  readonly kv: (typeof kvNames)[number];
  readonly threads: number;
  readonly nRuns: number;
}

const promptIds = (run: number): readonly number[] =>
  Array.from({ length: nPrompt }, (_, i) => ((i + run * 37) * 7919) % 512);

interface Samples {
  readonly prefillMs: number[];
  readonly stepMs: number[];
  readonly batchedStepMs: number[];
}

const oneRun = async (engine: EngineProcess, samples: Samples, run: number): Promise<void> => {
  samples.prefillMs.push(await engine.prefill(promptIds(run)));
  samples.stepMs.push(...(await engine.decode({ nStreams: 1, nPast, nSteps: nSteps.single })));
  samples.batchedStepMs.push(...(await engine.decode({ nStreams, nPast, nSteps: nSteps.batched })));
};

interface Speeds {
  /** Tokens a second. */
  readonly prefill: number;
  readonly single: number;
  readonly batched: number;
  readonly rssMb: number;
}

const speedsOf = ({ prefillMs, stepMs, batchedStepMs }: Samples, { pid }: EngineProcess): Speeds => ({
  prefill: (nPrompt * 1000) / median(prefillMs),
  single: 1000 / median(stepMs),
  batched: (nStreams * 1000) / median(batchedStepMs),
  rssMb: rssMb(pid),
});

const measurementsOf = (model: string, ours: Speeds, theirs: Speeds): readonly Measurement[] => {
  const against = (name: string, key: 'prefill' | 'single' | 'batched'): Measurement => ({
    model,
    name,
    unit: 'tok/s',
    ours: ours[key],
    other: { name: 'llama.cpp', value: theirs[key] },
    bar: { kind: 'at_least', value: 1 },
  });
  return [
    against(`prefill of ${nPrompt}`, 'prefill'),
    against('decode, 1 stream', 'single'),
    against(`decode, ${nStreams} streams`, 'batched'),
    {
      model,
      name: `decode, ${nStreams} streams`,
      unit: 'tok/s',
      ours: ours.batched,
      other: { name: 'ours, 1 stream', value: ours.single },
      bar: { kind: 'at_least', value: 2 },
    },
    {
      model,
      name: 'memory with the model loaded',
      unit: 'MiB RSS',
      ours: ours.rssMb,
      other: { name: 'llama.cpp', value: theirs.rssMb },
      bar: null,
    },
  ];
};

const nTokensMax = nStreams * 1024;

export const engineRuns = async (
  { name, gguf }: BenchModel,
  { threads, nRuns, kv }: EngineRunOptions,
): Promise<readonly Measurement[]> => {
  await using ours = EngineProcess.start(cortexProgram);
  await using theirs = EngineProcess.start(llamaProgram);
  const size = { threads, nSequences: nStreams, nTokensMax, kvCacheType: kv };
  await ours.open({ path: gguf, ...size });
  await theirs.open({ path: gguf, ...size });
  const samples = { ours: empty(), theirs: empty() };
  for (const engine of [ours, theirs]) await oneRun(engine, empty(), 0);
  for (let run = 1; run <= nRuns; run++) {
    const order = run % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const);
    for (const side of order) await oneRun(side === 'ours' ? ours : theirs, samples[side], run);
  }
  return measurementsOf(`${name}, KV ${kv}`, speedsOf(samples.ours, ours), speedsOf(samples.theirs, theirs));
};

const empty = (): Samples => ({ prefillMs: [], stepMs: [], batchedStepMs: [] });
