/**
 * Linear attention by the gated delta rule (Yang et al. 2024; Hugging Face `Qwen3_5GatedDeltaNet`): a short causal
 * convolution, then a matrix state per head that decays and is corrected towards each new value.
 *
 * Value heads are in ggml's tiled order: head h goes with key head h mod nKeyHeads. Loaders permute to it.
 */
import { ops, type Tensor } from '@cortex/ggml';
import type { GraphBuild, LayerCacheTensors, TextBatch } from '../arch/arch.ts';
import { rmsNorm } from './norm.ts';

export interface DeltaNetShape {
  readonly nKeyHeads: number;
  readonly nValueHeads: number;
  /** Of keys and values alike. */
  readonly headDim: number;
  readonly kernel: number;
  readonly normEps: number;
}

/** Added to the sum of squares by Hugging Face's `l2norm`. */
const l2Eps = 1e-6;

/** x · (Σx² + eps)^-½ over each row. `ggml_l2_norm` floors the norm instead and differs for small ones. */
const l2Normalise = ({ ctx }: GraphBuild, x: Tensor): Tensor => {
  const n = x.ne[0];
  return ops.scale(ctx, ops.rmsNorm(ctx, x, l2Eps / n), 1 / Math.sqrt(n));
};

/** Whether slots lie side by side, so that their states are one view. */
const firstOfRun = (slots: readonly number[]): number | null => {
  const [first = 0] = slots;
  return slots.every((slot, b) => slot === first + b) ? first : null;
};

/** A cache's rows of this batch's sequences, as f32 [rowLength, nSequences]. */
const gathered = ({ ctx }: GraphBuild, cache: Tensor, batch: TextBatch): Tensor => {
  const slots = batch.rows.map(({ slot }) => slot);
  const first = firstOfRun(slots);
  const n = cache.ne[0];
  if (first !== null) return ops.view(ctx, cache, [n, batch.rows.length], { offset: first * cache.nb[1] });
  const rows = slots.map((slot) => ops.view(ctx, cache, [n, 1], { offset: slot * cache.nb[1] }));
  return rows.reduce((a, b) => ops.concat(ctx, a, b, 1));
};

/** Writes states back into the cache: `of(b, n)` are those of n sequences from the b-th on, one after the other. */
const scattered = (
  { ctx, graph }: GraphBuild,
  cache: Tensor,
  batch: TextBatch,
  of: (first: number, n: number) => Tensor,
): void => {
  const rows = (slot: number, n: number): Tensor =>
    ops.view(ctx, cache, [cache.ne[0], n], { offset: slot * cache.nb[1] });
  const slots = batch.rows.map(({ slotAfter }) => slotAfter);
  const first = firstOfRun(slots);
  if (first === null) slots.forEach((slot, b) => graph.expand(ops.copyInto(ctx, of(b, 1), rows(slot, 1))));
  else graph.expand(ops.copyInto(ctx, of(0, slots.length), rows(first, slots.length)));
};

/** x [hidden, n] → [hidden, n]; weights `<prefix>.attn_qkv`, `.attn_gate`, `.ssm_*`. */
export const gatedDeltaNet = (
  build: GraphBuild,
  x: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  { prefix, shape }: { readonly prefix: string; readonly shape: DeltaNetShape },
): Tensor => {
  if (cache.kind !== 'recurrent') throw new Error('a recurrent layer was given an attention cache');
  const { ctx, weight } = build;
  const { nKeyHeads: hk, nValueHeads: hv, headDim: s, kernel, normEps } = shape;
  const nTokens = batch.nTokens;
  const nSeqs = batch.rows.length;
  const key = hk * s;
  const channels = 2 * key + hv * s;

  const qkv = ops.reshape(ctx, ops.mulMat(ctx, weight(`${prefix}.attn_qkv.weight`), x), channels, nTokens, nSeqs);
  const z = ops.mulMat(ctx, weight(`${prefix}.attn_gate.weight`), x); // [hv·s, n]
  const beta = ops.sigmoid(ctx, ops.mulMat(ctx, weight(`${prefix}.ssm_beta.weight`), x)); // [hv, n]
  const step = ops.add(ctx, ops.mulMat(ctx, weight(`${prefix}.ssm_alpha.weight`), x), weight(`${prefix}.ssm_dt.bias`));
  const decay = ops.mul(ctx, ops.softplus(ctx, step), weight(`${prefix}.ssm_a`)); // [hv, n], ≤ 0

  // The convolution sees the last kernel − 1 inputs of the past in front of this step's.
  const past = ops.reshape(ctx, gathered(build, cache.conv, batch), kernel - 1, channels, nSeqs);
  const inputs = ops.concat(ctx, past, ops.transpose(ctx, qkv), 0); // [kernel−1+nTokens, channels, nSeqs]
  const tail = ops.view(ctx, inputs, [kernel - 1, channels, 1, nSeqs], {
    nb1: inputs.nb[1],
    nb2: inputs.nb[2],
    nb3: inputs.nb[2],
    offset: nTokens * inputs.nb[0],
  });
  // A copy where sequences are taken out of it: devices that share it find places within rows or between them, not both.
  const ends = firstOfRun(batch.rows.map(({ slotAfter }) => slotAfter)) === null ? ops.cont(ctx, tail) : tail;
  scattered(build, cache.conv, batch, (first, nRows) =>
    nRows === nSeqs ? ends : ops.view(ctx, ends, [kernel - 1, channels, 1, nRows], { offset: first * ends.nb[3] }),
  );
  const mixed = ops.silu(ctx, ops.ssmConv(ctx, inputs, weight(`${prefix}.ssm_conv1d.weight`))); // [channels, nTokens, nSeqs]

  const heads = (nHeads: number, offset: number): Tensor =>
    ops.view(ctx, mixed, [s, nHeads, nTokens, nSeqs], {
      nb1: s * 4,
      nb2: mixed.nb[1],
      nb3: mixed.nb[2],
      offset: offset * 4,
    });
  const out = ops.gatedDeltaNet(ctx, {
    q: l2Normalise(build, heads(hk, 0)),
    k: l2Normalise(build, heads(hk, key)),
    v: heads(hv, 2 * key),
    g: ops.reshape(ctx, decay, 1, hv, nTokens, nSeqs),
    beta: ops.reshape(ctx, beta, 1, hv, nTokens, nSeqs),
    state: ops.reshape(ctx, gathered(build, cache.state, batch), s, s, hv, nSeqs),
  });
  // Behind the outputs come the states, s rows each.
  scattered(build, cache.state, batch, (first, nRows) =>
    ops.view(ctx, out, [s * hv, s * nRows], { offset: (nTokens * nSeqs + s * first) * out.nb[1] }),
  );

  const attended = ops.view(ctx, out, [s, hv, nTokens * nSeqs]);
  const normed = rmsNorm(ctx, attended, weight(`${prefix}.ssm_norm.weight`), normEps);
  const gated = ops.mul(ctx, normed, ops.silu(ctx, ops.reshape(ctx, z, s, hv, nTokens * nSeqs)));
  return ops.mulMat(ctx, weight(`${prefix}.ssm_out.weight`), ops.reshape(ctx, gated, hv * s, nTokens * nSeqs));
};
