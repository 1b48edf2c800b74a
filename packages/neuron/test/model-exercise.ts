/** For tests: what a model is asked to compare two ways of running it, and how far apart the answers are. */
import type { DeviceModel, ImageInput, ModelOptions, ModelSequence } from '../src/model/device-model.ts';
import { Random } from '../src/sampling/random.ts';
import { mropePositions } from '../src/vision/mrope-positions.ts';

export const idsOf = (n: number, seed: number): Int32Array => {
  const random = new Random(seed);
  return Int32Array.from({ length: n }, () => Math.floor(random.next() * 600));
};

/** Room for all that is asked, unless `more` says otherwise. */
export const optionsOf = (dir: string, more: Partial<ModelOptions> = {}): ModelOptions => ({
  modelId: 'acme/tiny',
  dir,
  weightType: 'f32',
  kvCacheType: 'f16',
  contextMax: 512,
  kvTokens: 2048,
  nSlots: 4,
  chunkMax: 64,
  draftMax: 8,
  patchesMax: 64,
  ...more,
});

/** Root mean square of the difference over that of the reference. */
export const relativeError = (got: Float32Array, wanted: Float32Array): number => {
  if (got.length !== wanted.length || wanted.length === 0) return Infinity;
  let [error, size] = [0, 0];
  wanted.forEach((value, i) => {
    error += ((got[i] ?? Infinity) - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(error / size);
};

/** Of the worst of several. */
export const largestError = (got: readonly Float32Array[], wanted: readonly Float32Array[]): number =>
  Math.max(...got.map((values, i) => relativeError(values, wanted[i] ?? new Float32Array(0))));

export const opened = (model: DeviceModel): ModelSequence => {
  const sequence = model.open(256);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

const prompt = idsOf(40, 1);

/** Chunks, batches of neighbours and of others, pasts that come back from a copy and from the host, drafts. */
export const textLogits = (model: DeviceModel): readonly Float32Array[] => {
  const all: Float32Array[] = [];
  const keep = (logits: Float32Array): number => all.push(logits.slice());
  const [a, b, c] = [opened(model), opened(model), opened(model)];
  keep(model.forward(a, prompt.slice(0, 11), 0, 'all'));
  keep(model.forward(a, prompt.slice(11, 14), 11, 'all'));
  keep(model.forward(a, prompt.slice(14, 15), 14, 'last'));
  model.forward(b, prompt.slice(0, 6), 0, 'none');
  model.forward(c, prompt.slice(0, 3), 0, 'none');
  for (const id of [5, 6]) keep(model.decode([b, a, c].map((sequence) => ({ sequence, id }))));
  // Slots that are no neighbours.
  for (const id of [7, 8]) keep(model.decode([c, a].map((sequence) => ({ sequence, id }))));
  const state = model.kept.stateBytes === 0 ? null : model.kept.saveState(a);
  const { nPast: nTokens } = a;
  keep(model.draft(a, prompt.slice(3, 7)));
  model.keep(a, 2);
  keep(model.decode([{ sequence: a, id: 9 }]));
  b[Symbol.dispose]();
  const parked = model.kept.park(a);
  const copy = opened(model);
  model.kept.resume(copy, { nTokens, cells: parked, state });
  keep(model.decode([{ sequence: copy, id: 11 }]));
  copy[Symbol.dispose]();
  const onHost = model.kept.toHost(parked);
  parked[Symbol.dispose]();
  const again = opened(model);
  model.forward(again, prompt.slice(0, 4), 0, 'none');
  const back = opened(model);
  model.kept.resume(back, { nTokens, cells: onHost, state });
  keep(model.decode([{ sequence: back, id: 11 }]));
  keep(model.forward(c, prompt.slice(0, 2), c.nPast, 'hidden'));
  for (const each of [again, back, c, onHost, state]) each?.[Symbol.dispose]();
  return all;
};

/** Its beginning. */
export const briefLogits = (model: DeviceModel): readonly Float32Array[] => {
  using a = opened(model);
  using b = opened(model);
  using c = opened(model);
  const first = model.forward(a, prompt.slice(0, 11), 0, 'all').slice();
  const second = model.forward(a, prompt.slice(11, 14), 11, 'all').slice();
  model.forward(b, prompt.slice(0, 6), 0, 'none');
  model.forward(c, prompt.slice(0, 3), 0, 'none');
  const all = model.decode([b, a, c].map((sequence) => ({ sequence, id: 5 }))).slice();
  // Slots that are no neighbours.
  return [first, second, all, model.decode([c, a].map((sequence) => ({ sequence, id: 7 }))).slice()];
};

const imageOf = (h: number, w: number): ImageInput => {
  const random = new Random(3);
  const patches = Float32Array.from({ length: h * w * 768 }, () => 2 * random.next() - 1);
  return { grid: { h, w }, nTokens: (h * w) / 4, patches, contentHash: 'x' };
};

export const imageLogits = (model: DeviceModel): readonly Float32Array[] => {
  const pad = model.imageTokenId ?? -1;
  using embeds = model.encodeImage(imageOf(4, 6));
  const ids = Int32Array.of(...prompt.slice(0, 3), ...new Int32Array(6).fill(pad), ...prompt.slice(3, 7));
  const positions = mropePositions(ids, pad, [{ h: 2, w: 3 }]);
  using sequence = opened(model);
  const vision = { ids, positions, embeds: [embeds] };
  const chunk = (from: number, to?: number): Float32Array =>
    model.forwardWithVision(sequence, ids.slice(from, to), from, vision, pad, 'all').slice();
  // The first ends within the image.
  return [embeds.read(), chunk(0, 5), chunk(5), model.decode([{ sequence, id: 5 }]).slice()];
};

/** What the checkpoint's predictor foretells, between steps of other shapes, whose graphs take the place of its own. */
export const guesses = (model: DeviceModel): readonly Float32Array[] => {
  using sequence = opened(model);
  model.forward(sequence, idsOf(20, 1), 0, 'last');
  return [30, 31, 32, 33, 34].map((id) => {
    const guess = Float32Array.from(model.guess(sequence, id, 4));
    if (id === 32) {
      model.draft(sequence, Int32Array.of(4, 5, 6));
      model.keep(sequence, 2);
    }
    model.decode([{ sequence, id }]);
    return guess;
  });
};
