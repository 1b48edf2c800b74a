/**
 * What a neuron adds to its engine and how it serves many, over HTTP as its clients meet it. Every token that is
 * sampled is the same letter, so that each makes a piece of the stream.
 */
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CompletionRequest } from '@cortex/core';
import { isInstalled } from '../../packages/neuron/test/peer/llama-addon.ts';
import { EngineProcess, llamaProgram } from '../../packages/neuron/test/peer/engine-process.ts';
import { startNeuronProcess, type NeuronProcess } from '../../test/e2e/neuron-process.ts';
import type { BenchModel } from '../bench-llama/bench-models.ts';
import { rssMb, type Measurement } from '../bench-llama/measurement.ts';
import { median } from '../median.ts';
import { readProcess } from '../soak/process-readings.ts';
import { EngineChild } from './engine-child.ts';
import { streamAnswer, type StreamedAnswer } from './stream-client.ts';

const nSlots = 32;
const contextMax = 8192;
const nConversation = 4096;
const prefillStepMs = 150;

export interface ServingOptions {
  readonly threads: number;
  readonly nRuns: number;
}

const settings = ({ threads }: ServingOptions) =>
  ({
    threads,
    parallel: nSlots,
    context_max: contextMax,
    kv_tokens: 2 * contextMax,
    prefill_step_ms: prefillStepMs,
    // Repeating one letter, everything could be guessed.
    draft_max: 0,
  }) as const;

const modelIdOf = ({ gguf }: BenchModel): string => gguf.slice(dirname(gguf).length + 1, -'.gguf'.length);

const sameLetter = { temperature: 0, logit_bias: { '72': 100 } } as const;

const requestOf = (model: BenchModel, nPrompt: number, nTokens: number, seed: number): CompletionRequest => ({
  model: modelIdOf(model),
  prompt: Array.from({ length: nPrompt }, (_, i) => ((i + seed * 37) * 7919) % 512),
  max_tokens: nTokens,
  ...sameLetter,
});

/** Time between the first piece and the last. */
const decodeMs = ({ pieceMs }: StreamedAnswer): number => (pieceMs.at(-1) ?? NaN) - (pieceMs[0] ?? NaN);
const ttft = ({ pieceMs }: StreamedAnswer): number => pieceMs[0] ?? NaN;
const gapsOf = ({ pieceMs }: StreamedAnswer): readonly number[] =>
  pieceMs.slice(1).map((at, i) => at - (pieceMs[i] ?? at));

class Serving {
  readonly #neuron: NeuronProcess;
  readonly #model: BenchModel;
  readonly #options: ServingOptions;
  #seed = 0;

  constructor(neuron: NeuronProcess, model: BenchModel, options: ServingOptions) {
    this.#neuron = neuron;
    this.#model = model;
    this.#options = options;
  }

  #row(rest: Omit<Measurement, 'model'>): Measurement {
    return { model: this.#model.name, ...rest };
  }

  #stream(nPrompt: number, nTokens: number): Promise<StreamedAnswer> {
    this.#seed += 1;
    return streamAnswer(this.#neuron.url, '/v1/completions', requestOf(this.#model, nPrompt, nTokens, this.#seed));
  }

  async overhead(): Promise<Measurement> {
    const nTokens = 32;
    await using engine = new EngineChild();
    const url = await engine.open(dirname(this.#model.gguf), settings(this.#options));
    const request = requestOf(this.#model, 32, nTokens, 0);
    const times = { http: [] as number[], engine: [] as number[] };
    for (let run = -1; run < this.#options.nRuns; run++) {
      const sides = run % 2 === 0 ? (['http', 'engine'] as const) : (['engine', 'http'] as const);
      for (const side of sides) {
        const ms =
          side === 'http'
            ? decodeMs(await streamAnswer(url, '/v1/completions', request))
            : await engine.complete(request);
        // The first of each loads and warms up.
        if (run >= 0) times[side].push(ms);
      }
    }
    const perSec = (ms: readonly number[]): number => ((nTokens - 1) * 1000) / median(ms);
    return this.#row({
      name: 'decode over an HTTP stream',
      unit: 'tok/s',
      ours: perSec(times.http),
      other: { name: 'the engine alone', value: perSec(times.engine) },
      bar: { kind: 'at_least', value: 0.97 },
    });
  }

  async manyStreams(): Promise<readonly Measurement[]> {
    const perSec = async (nStreams: number, nTokens: number): Promise<number> => {
      const answers = await Promise.all(Array.from({ length: nStreams }, () => this.#stream(16, nTokens)));
      // While all of them run: from the last one's first piece to the first one's last.
      const from = Math.max(...answers.map(({ pieceMs }) => pieceMs[0] ?? NaN));
      const to = Math.min(...answers.map(({ pieceMs }) => pieceMs.at(-1) ?? NaN));
      const nPieces = answers.flatMap(({ pieceMs }) => pieceMs).filter((at) => at > from && at <= to).length;
      return (nPieces * 1000) / (to - from);
    };
    const one = await perSec(1, 24);
    const eight = await perSec(8, 32);
    await this.#read();
    const nAll = await perSec(nSlots, 96);
    const { loopP99Ms } = await this.#read();
    return [
      this.#row({
        name: '8 HTTP streams',
        unit: 'tok/s',
        ours: eight,
        other: { name: 'ours, 1 stream', value: one },
        bar: { kind: 'at_least', value: 2 },
      }),
      this.#row({ name: `${nSlots} HTTP streams`, unit: 'tok/s', ours: nAll, other: null, bar: null }),
      this.#row({
        name: `event-loop delay p99 under ${nSlots} streams`,
        unit: 'ms',
        ours: loopP99Ms,
        other: null,
        bar: { kind: 'at_most', value: 20 },
      }),
    ];
  }

  /** The longest pause of a running stream while a long prompt of another client is computed. */
  async gap(): Promise<Measurement> {
    const running = this.#stream(16, 64);
    await delay(500);
    const other = this.#stream(512, 1);
    const gaps = gapsOf(await running);
    await other;
    return this.#row({
      name: 'longest gap between tokens while a prompt of 512 is computed',
      unit: 'ms',
      ours: Math.max(...gaps),
      other: null,
      bar: { kind: 'at_most', value: 3 * prefillStepMs },
    });
  }

  async secondTurn(): Promise<Measurement> {
    const model = modelIdOf(this.#model);
    const nTokens = async (content: string): Promise<number> =>
      (await this.#neuron.post('/tokenize', { model, prompt: content })).body['count'] as number;
    const sentence = 'The quick brown fox jumps over the lazy dog, number ';
    const nEach = (await nTokens(`${sentence}1000. `.repeat(10))) / 10;
    const content = Array.from(
      { length: Math.floor(nConversation / nEach) },
      (_, i) => `${sentence}${1000 + i}. `,
    ).join('');
    const ask = (messages: readonly object[]): Promise<StreamedAnswer> =>
      streamAnswer(this.#neuron.url, '/v1/chat/completions', { model, messages, max_tokens: 8, ...sameLetter });
    const first = [{ role: 'user', content }];
    const cold = await ask(first);
    const warm: StreamedAnswer[] = [];
    for (const question of ['And what then?', 'What did the dog say?', 'Why is that?'])
      warm.push(await ask([...first, { role: 'assistant', content: 'Iiiiiiii' }, { role: 'user', content: question }]));
    if (warm.some(({ cachedTokens }) => cachedTokens === 0)) throw new Error('a second turn found nothing kept');
    return this.#row({
      name: `time to first token, second turn of ${cold.promptTokens} tokens`,
      unit: 'ms',
      ours: median(warm.map(ttft)),
      other: { name: 'the first turn', value: ttft(cold) },
      bar: { kind: 'at_most', value: 0.05 },
    });
  }

  async #read(): Promise<{ readonly loopP99Ms: number }> {
    return readProcess(this.#neuron.process.pid ?? 0, this.#neuron.url, 0);
  }
}

/** MiB with nothing loaded, and with the model loaded and one short answer given. */
interface Memory {
  readonly idle: number;
  readonly loaded: number;
}

/** After an unload: what the allocator keeps has been given back by then. */
const givenBackMs = 8000;

const llamaMemory = async ({ gguf }: BenchModel, { threads }: ServingOptions): Promise<Memory> => {
  await using llama = EngineProcess.start(llamaProgram);
  await llama.ready();
  const idle = rssMb(llama.pid);
  await llama.open({ path: gguf, threads, nSequences: nSlots, nTokensMax: 2 * contextMax, kvCacheType: 'auto' });
  await llama.prefill([1, 2, 3]);
  return { idle, loaded: rssMb(llama.pid) };
};

const memoryRows = (model: string, ours: Memory, theirs: Memory | null): readonly Measurement[] =>
  (['idle', 'loaded'] as const).map((when) => ({
    model,
    name: when === 'idle' ? 'memory with nothing loaded' : 'memory with the model loaded',
    unit: 'MiB RSS',
    ours: ours[when],
    other: theirs === null ? null : { name: 'llama.cpp', value: theirs[when] },
    bar: null,
  }));

const memoryWhenUnloaded = async (neuron: NeuronProcess, model: BenchModel): Promise<Measurement> => {
  const { status, body } = await neuron.post('/models/unload', { model_id: modelIdOf(model), mode: 'wait' });
  if (status !== 200) throw new Error(`the model is not unloaded: ${JSON.stringify(body)}`);
  await delay(givenBackMs);
  const ours = rssMb(neuron.process.pid ?? 0);
  return { model: model.name, name: 'memory after it was unloaded', unit: 'MiB RSS', ours, other: null, bar: null };
};

export const partNames = ['memory', 'turns', 'gap', 'streams', 'overhead'] as const;
export type Part = (typeof partNames)[number];

/** Each line as soon as it is measured. */
export async function* servingRuns(
  model: BenchModel,
  options: ServingOptions,
  parts: readonly Part[],
): AsyncGenerator<Measurement, void> {
  const { threads, ...rest } = settings(options);
  const ggml = Object.entries(rest).map(([key, value]) => `${key} = ${value}`);
  await using neuron = await startNeuronProcess({ modelDirs: [dirname(model.gguf)], threads, ggml, isBuilt: true });
  const pid = neuron.process.pid ?? 0;
  const idle = rssMb(pid);
  const { status, body } = await neuron.post('/models/load', { model_id: modelIdOf(model), wait: true });
  if (status !== 200) throw new Error(`the model is not loaded: ${JSON.stringify(body)}`);
  await streamAnswer(neuron.url, '/v1/completions', requestOf(model, 3, 2, 99));
  const memory = { idle, loaded: rssMb(pid) };
  const serving = new Serving(neuron, model, options);
  if (parts.includes('memory'))
    yield* memoryRows(model.name, memory, isInstalled() ? await llamaMemory(model, options) : null);
  if (parts.includes('turns')) yield await serving.secondTurn();
  if (parts.includes('gap')) yield await serving.gap();
  if (parts.includes('streams')) yield* await serving.manyStreams();
  if (parts.includes('overhead')) yield await serving.overhead();
  // After whatever traffic there was.
  if (parts.includes('memory')) yield await memoryWhenUnloaded(neuron, model);
}
