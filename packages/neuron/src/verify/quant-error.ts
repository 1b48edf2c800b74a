/**
 * What a model loses by the number types of its weights and its KV cache: its logits on given prompts beside those of its f32 self, on
 * the same device. Where a prompt ends in an answer, only the columns that foretell the answer are looked at.
 */
import type { WeightType } from '../model/weight-types.ts';
import type { DeviceHost, DeviceModel, ImageInput, ModelOptions } from '../model/device-model.ts';
import { mropePositions } from '../vision/mrope-positions.ts';
import { differenceOf } from './compare.ts';

export interface QuantProbe {
  /** Image pads expanded. */
  readonly ids: Int32Array;
  readonly images: readonly (ImageInput & { readonly mergedGrid: { readonly h: number; readonly w: number } })[];
  /** The first token whose prediction counts. */
  readonly firstScored: number;
}

/** Number types of weights and KV cache. */
export interface NumberTypes {
  readonly weightType: WeightType;
  readonly kvCacheType: ModelOptions['kvCacheType'];
}

export interface QuantError extends NumberTypes {
  readonly loadMs: number;
  readonly bytes: number;
  /** Largest difference of a logit from f32's. */
  readonly maxAbs: number;
  /** Least cosine of a row of logits with f32's. */
  readonly cosine: number;
  /** Mean divergence of the next token's distribution from f32's, in nats. */
  readonly divergence: number;
  /** How much less likely, in nats, the text's own next token is on average; below zero is luck. */
  readonly nllGap: number;
  /** Share of columns whose likeliest token is f32's. */
  readonly sameTop: number;
}

const logSoftmax = (row: Float32Array): Float64Array => {
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Float64Array.from(row, (logit) => logit - most - Math.log(sum));
};

const indexOfMost = (row: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  return best;
};

/** Logits of the columns that foretell the tokens from `firstScored` on. */
const logitsOf = (model: DeviceModel, { ids, images, firstScored }: QuantProbe): Float32Array => {
  using sequence = model.open(ids.length);
  if (sequence === null) throw new Error(`no room for ${ids.length} tokens`);
  const pad = model.imageTokenId;
  const all = (): Float32Array => {
    if (images.length === 0 || pad === null) return model.forward(sequence, ids, 0, 'all');
    const embeds = images.map((image) => model.encodeImage(image));
    try {
      const positions = mropePositions(
        ids,
        pad,
        images.map(({ mergedGrid }) => mergedGrid),
      );
      return model.forwardWithVision(sequence, ids, 0, { ids, positions, embeds }, pad, 'all');
    } finally {
      for (const each of embeds) each[Symbol.dispose]();
    }
  };
  return all().slice((firstScored - 1) * model.nLogits, -model.nLogits);
};

interface Loaded {
  readonly logits: readonly Float32Array[];
  readonly nLogits: number;
  readonly loadMs: number;
  readonly bytes: number;
}

const runWith = async (
  host: DeviceHost,
  dir: string,
  types: NumberTypes,
  probes: readonly QuantProbe[],
): Promise<Loaded> => {
  const kvTokens = probes.reduce((most, { ids }) => Math.max(most, ids.length), 1);
  const startMs = performance.now();
  using model = await host.loadModel(
    { modelId: dir, dir, ...types, contextMax: null, kvTokens, nSlots: 1, chunkMax: kvTokens },
    () => {},
  );
  const loadMs = performance.now() - startMs;
  const { bytes, nLogits } = model;
  return { logits: probes.map((probe) => logitsOf(model, probe)), nLogits, loadMs, bytes };
};

const compare = (types: NumberTypes, got: Loaded, exact: Loaded, probes: readonly QuantProbe[]): QuantError => {
  const { nLogits } = exact;
  let [maxAbs, cosine, divergence, nllGap, nSame, n] = [0, 1, 0, 0, 0, 0];
  for (const [i, { ids, firstScored }] of probes.entries()) {
    const [ours, theirs] = [got.logits[i] ?? new Float32Array(), exact.logits[i] ?? new Float32Array()];
    const difference = differenceOf(ours, theirs, nLogits);
    maxAbs = Math.max(maxAbs, difference.maxAbs);
    cosine = Math.min(cosine, difference.cosine);
    for (let column = 0; column * nLogits < theirs.length; column++) {
      const range = [column * nLogits, (column + 1) * nLogits] as const;
      const [p, q] = [logSoftmax(theirs.subarray(...range)), logSoftmax(ours.subarray(...range))];
      const next = ids[firstScored + column] ?? 0;
      divergence += p.reduce((sum, logP, id) => sum + Math.exp(logP) * (logP - (q[id] ?? 0)), 0);
      nllGap += (p[next] ?? 0) - (q[next] ?? 0);
      if (indexOfMost(p) === indexOfMost(q)) nSame += 1;
      n += 1;
    }
  }
  const { loadMs, bytes } = got;
  return {
    ...types,
    loadMs,
    bytes,
    maxAbs,
    cosine,
    divergence: divergence / n,
    nllGap: nllGap / n,
    sameTop: nSame / n,
  };
};

/** What f32 is compared with: both in f32. */
const exactTypes: NumberTypes = { weightType: 'f32', kvCacheType: 'f32' };

/** One line for each of `types`, in their order. @param dir The checkpoint. */
export async function* quantErrors(
  host: DeviceHost,
  dir: string,
  probes: readonly QuantProbe[],
  types: readonly Partial<NumberTypes>[],
): AsyncGenerator<QuantError> {
  const exact = await runWith(host, dir, exactTypes, probes);
  for (const some of types) {
    const each = { ...exactTypes, ...some };
    yield compare(each, await runWith(host, dir, each, probes), exact, probes);
  }
}
