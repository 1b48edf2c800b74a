/** The process in which llama.cpp runs for tests and benchmarks. */
import { tensorTypes } from '@cortex/ggml';
import { loadLlama, type Llama, type LlamaContext, type LlamaModel, type LlamaSampler } from './llama-addon.ts';
import { idAt, serveEngine } from './serve-engine.ts';
import type { Continuation, EngineAnswers, EngineCall } from './engine-calls.ts';

const batchSize = 512;

interface Session {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly greedy: LlamaSampler;
  close(): Promise<void>;
}

let llama: Llama | undefined;

const open = async (call: Extract<EngineCall, { kind: 'open' }>): Promise<Session> => {
  llama ??= await loadLlama();
  const model = await llama.loadModel({ modelPath: call.path });
  const kvCacheType = tensorTypes[call.kvCacheType === 'f32' ? 'f32' : 'f16'].id;
  const context = new llama._bindings.AddonContext(model._model, {
    contextSize: call.nTokensMax,
    sequences: call.nSequences,
    threads: call.threads,
    batchSize,
    // Its flash attention rounds f32 keys and values to f16.
    flashAttention: call.kvCacheType !== 'f32',
    kvCacheKeyType: kvCacheType,
    kvCacheValueType: kvCacheType,
  });
  if (!(await context.init())) throw new Error('no room for a context');
  const greedy = new llama._bindings.AddonSampler(model._model);
  greedy.applyConfig({ temperature: 0 });
  const close = async (): Promise<void> => {
    greedy.dispose();
    await context.dispose();
    await model.dispose();
  };
  return { model: model._model, context, greedy, close };
};

/** Computes `ids` and returns the batch place of the last one's logits. */
const feed = async (
  context: LlamaContext,
  sequence: number,
  ids: readonly number[],
  position: number,
): Promise<number> => {
  let place = -1;
  for (let done = 0; done < ids.length; done += batchSize) {
    const chunk = ids.slice(done, done + batchSize);
    const isLast = done + chunk.length === ids.length;
    context.initBatch(chunk.length);
    const wanted = isLast ? Uint32Array.of(chunk.length - 1) : new Uint32Array();
    place = context.addToBatch(sequence, position + done, Uint32Array.from(chunk), wanted)[0] ?? -1;
    await context.decodeBatch();
  }
  return place;
};

const sampled = async (
  session: Session,
  place: number,
): Promise<{ readonly id: number; readonly logits: number[] }> => {
  const [id, , , pairs] = await session.context.sampleToken(place, session.greedy, false, false, true);
  const logits: number[] = [];
  for (let i = 0; i < pairs.length; i += 2) logits[pairs[i] ?? 0] = pairs[i + 1] ?? 0;
  return { id, logits };
};

const continued = async (session: Session, ids: readonly number[], n: number): Promise<Continuation> => {
  session.context.disposeSequence(0);
  const first = await sampled(session, await feed(session.context, 0, ids, 0));
  const chosen = [first.id];
  while (chosen.length < n) {
    const place = await feed(session.context, 0, chosen.slice(-1), ids.length + chosen.length - 1);
    chosen.push((await sampled(session, place)).id);
  }
  return { ids: chosen, logits: first.logits };
};

const prefill = async ({ context }: Session, ids: readonly number[]): Promise<number> => {
  context.disposeSequence(0);
  const start = performance.now();
  await feed(context, 0, ids, 0);
  return performance.now() - start;
};

/** The steps alone: choosing the next token is left out. */
const decode = async (
  { context }: Session,
  { nStreams, nPast, nSteps }: Extract<EngineCall, { kind: 'decode' }>,
): Promise<readonly number[]> => {
  for (let stream = 0; stream < nStreams; stream++) {
    context.disposeSequence(stream);
    await feed(
      context,
      stream,
      Array.from({ length: nPast }, (_, i) => idAt(stream, i)),
      0,
    );
  }
  const steps: number[] = [];
  for (let step = 0; step < nSteps; step++) {
    const start = performance.now();
    context.initBatch(nStreams);
    for (let stream = 0; stream < nStreams; stream++)
      context.addToBatch(stream, nPast + step, Uint32Array.of(idAt(stream, nPast + step)), Uint32Array.of(0));
    await context.decodeBatch();
    steps.push(performance.now() - start);
  }
  return steps;
};

let opened: Session | undefined;

const session = (): Session => {
  if (opened === undefined) throw new Error('no model is open');
  return opened;
};

const answer = async (call: EngineCall): Promise<EngineAnswers[keyof EngineAnswers]> => {
  switch (call.kind) {
    case 'start':
      llama ??= await loadLlama();
      return null;
    case 'open':
      await opened?.close();
      opened = undefined;
      opened = await open(call);
      return null;
    case 'tokenize':
      return [...session().model.tokenize(call.text, call.parseSpecial)];
    case 'continue':
      return continued(session(), call.ids, call.n);
    case 'prefill':
      return prefill(session(), call.ids);
    case 'decode':
      return decode(session(), call);
  }
};

serveEngine(answer);
