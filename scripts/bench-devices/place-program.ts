/** The program behind `runJob`: takes one job from its parent, answers and ends. */
import { readFileSync, writeFileSync } from 'node:fs';
import { openLibrary } from '@cortex/ggml';
import { ApartDevice } from '../../packages/ggml/test/apart-devices.ts';
import { openDevice } from '../../packages/neuron/src/model/device-host.ts';
import type {
  DeviceHost,
  DeviceModel,
  ModelOptions,
  ModelSequence,
} from '../../packages/neuron/src/model/device-model.ts';
import { median } from '../median.ts';
import type { Answer, Figures, Job, MeasureJob } from './job.ts';
import { peerPackages } from './place-process.ts';

const { devices } = openLibrary({ packageRoots: peerPackages() });

const timed = <T>(work: () => T): { readonly ms: number; readonly value: T } => {
  const startMs = performance.now();
  const value = work();
  return { ms: performance.now() - startMs, value };
};

const indexOfMost = (row: Float32Array): number => {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  return best;
};

const withSequence = <T>(model: DeviceModel, nTokens: number, work: (sequence: ModelSequence) => T): T => {
  using sequence = model.open(nTokens);
  if (sequence === null) throw new Error(`no room for ${nTokens} tokens`);
  return work(sequence);
};

interface Run {
  readonly prefillMs: number;
  readonly ttftMs: number;
  readonly stepMs: number;
}

const runOnce = (model: DeviceModel, { ids, nDecode }: MeasureJob): Run =>
  withSequence(model, ids.length + nDecode, (sequence) => {
    const prompt = Int32Array.from(ids);
    const first = timed(() => {
      const prefill = timed(() => model.forward(sequence, prompt, 0, 'last'));
      return { id: indexOfMost(prefill.value), prefillMs: prefill.ms };
    });
    let { id } = first.value;
    const steps = Array.from({ length: nDecode }, () => {
      const step = timed(() => indexOfMost(model.decode([{ sequence, id }])));
      id = step.value;
      return step.ms;
    });
    return { prefillMs: first.value.prefillMs, ttftMs: first.ms, stepMs: median(steps) };
  });

type Deviation = Pick<Figures, 'deviation' | 'maxAbs' | 'sameTop'>;

const deviationOf = (got: Float32Array, wanted: Float32Array, nLogits: number): Deviation => {
  if (got.length !== wanted.length) throw new Error(`${got.length} logits, the reference has ${wanted.length}`);
  let [error, size, maxAbs, nSame] = [0, 0, 0, 0];
  for (let from = 0; from < wanted.length; from += nLogits) {
    const [ours, theirs] = [got, wanted].map((all) => all.subarray(from, from + nLogits));
    if (ours === undefined || theirs === undefined) continue;
    if (indexOfMost(ours) === indexOfMost(theirs)) nSame += nLogits;
    ours.forEach((value, i) => {
      const delta = value - (theirs[i] ?? 0);
      error += delta ** 2;
      size += (theirs[i] ?? 0) ** 2;
      maxAbs = Math.max(maxAbs, Math.abs(delta));
    });
  }
  return { deviation: Math.sqrt(error / size), maxAbs, sameTop: nSame / wanted.length };
};

const deviation = (logits: Float32Array, { reference }: MeasureJob, nLogits: number): Deviation => {
  if (reference.isWritten) {
    const bytes = readFileSync(reference.file);
    const wanted = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Float32Array.BYTES_PER_ELEMENT);
    return deviationOf(logits, wanted, nLogits);
  }
  writeFileSync(reference.file, logits);
  return { deviation: 0, maxAbs: 0, sameTop: 1 };
};

/**
 * Room on each device for as many layers as on the others; without it the first would have all. Head and tower are there
 * too: more is tried until it suffices.
 */
const roomsFor = async (host: DeviceHost, options: ModelOptions, { others, layers }: MeasureJob['place']) => {
  if (layers === undefined) return {};
  const partsWith = async (roomBytes: readonly number[]) => {
    using model = await host.loadModel({ ...options, roomBytes }, () => {});
    return model.parts;
  };
  const [whole] = await partsWith([]);
  const { nBytes, nLayers } = whole ?? { nBytes: 0, nLayers: 0 };
  const nMembers = 1 + others.length + (layers.areOnHost ? 1 : 0);
  for (let share = 1 / nMembers; share < 1; share += 0.05) {
    const roomBytes = [share * nBytes, ...others.map(() => share * nBytes)];
    const parts = await partsWith(roomBytes);
    const nOnHost = parts.at(-1)?.nLayers ?? 0;
    if (nOnHost <= (layers.areOnHost ? Math.ceil(nLayers / nMembers) : 0)) return { roomBytes };
  }
  return {};
};

/** @throws Error where a device has no layer. */
const checkLayers = ({ parts }: DeviceModel, { layers }: MeasureJob['place']): void => {
  const wanted = layers?.areOnHost === false ? parts.slice(0, -1) : parts;
  const idle = wanted.find(({ nLayers }) => nLayers === 0);
  if (idle !== undefined) throw new Error(`${idle.name} has no layers: the model has too few`);
};

const measure = async (job: MeasureJob): Promise<Figures> => {
  const { place, dir, type, ids, nDecode, nRuns, threads } = job;
  const sharing = place.layers === undefined ? 'tensors' : 'layers';
  // Without a GPU the CPU stands in for one, its memory as if it were apart, with half of the threads: those of the other half
  // stay awake while they wait.
  const isStandIn = place.layers !== undefined && place.backend === 'cpu';
  const nThreads = isStandIn ? Math.max(1, Math.floor(threads / 2)) : threads;
  const index = isStandIn ? ApartDevice.add(2 ** 40, nThreads).index : place.index;
  using host = openDevice({ index, others: place.others, sharing, threads: nThreads });
  const kvTokens = ids.length + nDecode;
  const limits = { contextMax: null, kvTokens, nSlots: 1, chunkMax: ids.length };
  const options = { modelId: dir, dir, weightType: type, kvCacheType: 'auto', ...limits } as const;
  const rooms = await roomsFor(host, options, place);
  const startMs = performance.now();
  using model = await host.loadModel({ ...options, ...rooms }, () => {});
  checkLayers(model, place);
  const loadMs = performance.now() - startMs;
  const cold = timed(() =>
    withSequence(model, kvTokens, (sequence) => model.forward(sequence, Int32Array.from(ids), 0, 'all').slice()),
  );
  runOnce(model, job);
  const runs = Array.from({ length: nRuns }, () => runOnce(model, job));
  const of = (key: keyof Run): number => median(runs.map((run) => run[key]));
  return {
    loadMs,
    coldMs: cold.ms,
    prefillTokS: (ids.length * 1000) / of('prefillMs'),
    ttftMs: of('ttftMs'),
    decodeTokS: 1000 / of('stepMs'),
    memoryMb: model.bytes / 2 ** 20,
    ...deviation(cold.value, job, model.nLogits),
  };
};

const answer = async (job: Job): Promise<Answer> => {
  if (job.kind === 'measure') return { kind: 'measured', figures: await measure(job) };
  const places = devices.filter(({ type }) => type === 'cpu' || type === 'gpu' || type === 'igpu');
  return {
    kind: 'listed',
    places: places.map(({ name, description, backend, index }) => ({ name, description, backend, index, others: [] })),
  };
};

process.once('message', (job: Job) => {
  void answer(job)
    .catch((error: unknown): Answer => ({ kind: 'failed', reason: String(error) }))
    .then((result) => process.send?.(result, () => process.disconnect()));
});
