/** The process in which our engine runs for benchmarks: the model on the CPU, without run loop and server. */
import { openLibrary } from '@cortex/ggml';
import { prefillChunk } from '../../src/harness/prefill-chunk.ts';
import { openDevice } from '../../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelSequence } from '../../src/model/device-model.ts';
import { argmax } from '../../src/sampling/argmax.ts';
import type { Continuation, EngineAnswers, EngineCall } from './engine-calls.ts';
import { idAt, serveEngine } from './serve-engine.ts';

const chunkMax = prefillChunk({}, { backend: 'cpu' });

interface Session {
  readonly host: DeviceHost;
  readonly model: DeviceModel;
  /** Of one sequence. */
  readonly nTokensMax: number;
}

const open = async (call: Extract<EngineCall, { kind: 'open' }>): Promise<Session> => {
  const host = openDevice({ index: 0, threads: call.threads });
  const model = await host.loadModel(
    {
      modelId: call.path,
      dir: call.path,
      weightType: 'auto',
      kvCacheType: call.kvCacheType,
      contextMax: null,
      kvTokens: call.nTokensMax,
      nSlots: call.nSequences,
      chunkMax,
    },
    () => {},
  );
  return { host, model, nTokensMax: Math.floor(call.nTokensMax / call.nSequences) };
};

const feed = (model: DeviceModel, sequence: ModelSequence, ids: readonly number[]): Float32Array => {
  let logits: Float32Array = new Float32Array();
  for (let done = 0; done < ids.length; done += chunkMax) {
    const chunk = Int32Array.from(ids.slice(done, done + chunkMax));
    logits = model.forward(sequence, chunk, done, done + chunk.length === ids.length ? 'last' : 'none');
  }
  return logits;
};

const opened = ({ model, nTokensMax }: Session): ModelSequence => {
  const sequence = model.open(nTokensMax);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

const prefill = (session: Session, ids: readonly number[]): number => {
  using sequence = opened(session);
  const start = performance.now();
  feed(session.model, sequence, ids);
  return performance.now() - start;
};

const continued = (session: Session, ids: readonly number[], n: number): Continuation => {
  using sequence = opened(session);
  const { model } = session;
  const logits = [...feed(model, sequence, ids)];
  const chosen = [argmax(Float32Array.from(logits), model.nLogits)];
  while (chosen.length < n) chosen.push(argmax(model.decode([{ sequence, id: chosen.at(-1) ?? -1 }]), model.nLogits));
  return { ids: chosen, logits };
};

const decode = (
  session: Session,
  { nStreams, nPast, nSteps }: Extract<EngineCall, { kind: 'decode' }>,
): readonly number[] => {
  const streams = Array.from({ length: nStreams }, () => opened(session));
  for (const [stream, sequence] of streams.entries())
    feed(
      session.model,
      sequence,
      Array.from({ length: nPast }, (_, i) => idAt(stream, i)),
    );
  const steps: number[] = [];
  for (let step = 0; step < nSteps; step++) {
    const start = performance.now();
    session.model.decode(streams.map((sequence, stream) => ({ sequence, id: idAt(stream, nPast + step) })));
    steps.push(performance.now() - start);
  }
  for (const sequence of streams) sequence[Symbol.dispose]();
  return steps;
};

let session: Session | undefined;

const current = (): Session => {
  if (session === undefined) throw new Error('no model is open');
  return session;
};

const answer = async (call: EngineCall): Promise<EngineAnswers[keyof EngineAnswers]> => {
  switch (call.kind) {
    case 'start':
      openLibrary();
      return null;
    case 'open':
      session?.model[Symbol.dispose]();
      session?.host[Symbol.dispose]();
      session = undefined;
      session = await open(call);
      return null;
    case 'tokenize':
      throw new Error('texts are not measured here');
    case 'continue':
      return continued(current(), call.ids, call.n);
    case 'prefill':
      return prefill(current(), call.ids);
    case 'decode':
      return decode(current(), call);
  }
};

serveEngine(answer);
