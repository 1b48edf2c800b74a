/**
 * `npm run bench ahead`: what guessing ahead gains on one stream, through the loop that serves requests: by repetitions in
 * the text and by the checkpoint's predictor (MTP). The model has Qwen3.5-0.8B's sizes and knows by its weights what
 * follows a token, so that every guess is right: the most that can be gained.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openDevice } from '../packages/neuron/src/model/device-host.ts';
import type { DeviceHost } from '../packages/neuron/src/model/device-model.ts';
import type { GenerateEvent } from '../packages/neuron/src/device/protocol.ts';
import { fakeGenerateSpec, fakeLoadSpec } from '../packages/neuron/test/fake-device-host.ts';
import { Bench, idsOf } from '../packages/neuron/test/run-loop-bench.ts';
import { benchModel, typeNames, type BenchModel } from './bench-llama/bench-models.ts';
import { isReached, tableRow, type Measurement } from './bench-llama/measurement.ts';
import { median } from './median.ts';

const nVocab = 248_320;
const nTokens = 64;
const nPrompt = 128;

/** Tokens that count up from `first`. */
const counting = (first: number, n: number): number[] => Array.from({ length: n }, (_, i) => first + i);

const prompts = {
  /** Its end has been there before, with what follows. */
  repetitive: (run: number) => [...counting(20_000 + run, nPrompt), 7, ...counting(20_000 + run, 16)],
  fresh: (run: number) => counting(90_000 + 1000 * run, nPrompt),
} as const;

interface Answered {
  readonly ids: readonly number[];
  readonly done: Extract<GenerateEvent, { kind: 'done' }>;
}

class AheadBench {
  readonly #bench: Bench<DeviceHost>;

  constructor(threads: number) {
    this.#bench = new Bench(openDevice({ index: 0, threads }));
  }

  async load(modelId: string, gguf: string, draftMax: number): Promise<void> {
    const room = { contextMax: 1024, kvTokens: 1024, nSlots: 1, chunkMax: 512 };
    const load = { ...fakeLoadSpec(modelId, {}, { draftMax }), ...room, dir: gguf, bannedIds: [] };
    const vocabulary = { ...load.vocabulary, control: new Uint8Array(nVocab) };
    await this.#bench.job({ kind: 'load', spec: { ...load, vocabulary } });
  }

  async answer(modelId: string, promptIds: readonly number[]): Promise<Answered> {
    const spec = fakeGenerateSpec(modelId, promptIds, { tokensMax: nTokens, eosIds: [] });
    const events = await this.#bench.eventsOf(this.#bench.generate(spec));
    const done = events.at(-1);
    if (done?.kind !== 'done') throw new Error('the generation did not end');
    return { ids: idsOf(events), done };
  }

  async end(): Promise<void> {
    await this.#bench.job({ kind: 'shutdown' });
    await this.#bench.ended;
  }
}

const tokensPerSecond = (answers: readonly Answered[]): number =>
  median(answers.map(({ done }) => ((done.nGenerated - 1) * 1000) / done.decodeMs));

const prefillPerSecond = (answers: readonly Answered[]): number =>
  median(answers.map(({ done }) => (done.nPromptTokens * 1000) / done.prefillMs));

const share = (answers: readonly Answered[]): number => {
  const [nRight, nDrafted] = (['nDraftedRight', 'nDrafted'] as const).map((count) =>
    answers.reduce((sum, { done }) => sum + done[count], 0),
  );
  return (nRight ?? 0) / Math.max(1, nDrafted ?? 0);
};

const measure = async ({ name, gguf }: BenchModel, threads: number, nRuns: number): Promise<readonly Measurement[]> => {
  const bench = new AheadBench(threads);
  await bench.load('plain', gguf, 0);
  await bench.load('ahead', gguf, 8);
  const measurements: Measurement[] = [];
  for (const [kind, promptOf] of Object.entries(prompts)) {
    const answers: Record<'plain' | 'ahead', Answered[]> = { plain: [], ahead: [] };
    for (let run = 0; run <= nRuns; run++) {
      for (const side of ['plain', 'ahead'] as const) {
        const answer = await bench.answer(side, promptOf(run));
        // The first is to warm up.
        if (run > 0) answers[side].push(answer);
      }
    }
    if (!answers.plain.every(({ ids }, run) => ids.join() === answers.ahead[run]?.ids.join())) {
      throw new Error('guessing ahead changed the answer');
    }
    const by = kind === 'repetitive' ? 'repetitions' : 'the predictor';
    measurements.push({
      model: name,
      name: `decode ahead by ${by}, ${(100 * share(answers.ahead)).toFixed(0)} % right`,
      unit: 'tok/s',
      ours: tokensPerSecond(answers.ahead),
      other: { name: 'plain', value: tokensPerSecond(answers.plain) },
      bar: kind === 'repetitive' ? { kind: 'at_least', value: 1.5 } : null,
    });
    if (kind === 'repetitive') continue;
    measurements.push({
      model: name,
      name: `prefill of ${nPrompt} with the predictor's rows`,
      unit: 'tok/s',
      ours: prefillPerSecond(answers.ahead),
      other: { name: 'without', value: prefillPerSecond(answers.plain) },
      bar: null,
    });
  }
  await bench.end();
  return measurements;
};

export const run = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      type: { type: 'string', default: 'q4_K' },
      runs: { type: 'string', default: '3' },
      threads: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const type = typeNames.find((name) => name === values.type);
  if (type === undefined)
    throw new Error(`npm run bench ahead -- [--type ${typeNames.join('|')}] [--runs N] [--threads N]`);
  const measurements = await measure(
    await benchModel('qwen3_5-0.8b-counting', type),
    Number(values.threads),
    Number(values.runs),
  );
  console.table(measurements.map(tableRow));
  if (measurements.some((measurement) => isReached(measurement) === false)) console.log('a bar was not reached');
};
