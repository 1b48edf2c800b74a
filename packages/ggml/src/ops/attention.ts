/** Rotary positions and attention. */
import type { Context } from '../context.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { ropeModes, tensorTypes, type RopeMode } from '../types.ts';
import { require, requireContiguous, requireContiguousRows, requireType } from './check.ts';

export interface RopeScaling {
  /** Context the model was first trained on, in tokens. */
  readonly nCtxOrig: number;
  readonly freqScale: number;
  readonly extFactor: number;
  readonly attnFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

const unscaled: RopeScaling = { nCtxOrig: 0, freqScale: 1, extFactor: 0, attnFactor: 1, betaFast: 32, betaSlow: 1 };

export interface RopeOptions {
  readonly mode: RopeMode;
  /** Rotated leading dimensions of each head. */
  readonly nDims: number;
  readonly freqBase: number;
  /** For `vision` and `interleavedMrope`: how many of the pairs each axis drives. */
  readonly sections?: Shape;
  readonly scaling?: RopeScaling;
}

/** x [headDim, nHead, n] rotated by positions i32 [n], or [4·n] (four blocks of n: t, h, w, –) with sections. */
export const rope = (ctx: Context, x: Tensor, positions: Tensor, options: RopeOptions): Tensor => {
  const { mode, nDims, freqBase, sections, scaling = unscaled } = options;
  const axes = sections === undefined ? 1 : 4;
  requireType('rope', positions, tensorTypes.i32);
  requireContiguousRows('rope', x);
  require(positions.ne[0] === x.ne[2] * axes, 'rope', `needs ${axes} positions for each of dimension 2`, x, positions);
  require(nDims % 2 === 0 && nDims <= x.ne[0], 'rope', `rotates ${nDims} dimensions`, x);
  ctx.claim();
  const { native } = ctx;
  const tail = [
    scaling.nCtxOrig,
    freqBase,
    scaling.freqScale,
    scaling.extFactor,
    scaling.attnFactor,
    scaling.betaFast,
    scaling.betaSlow,
  ] as const;
  const ptr =
    sections === undefined
      ? native.ggml_rope_ext(ctx.ptr, x.ptr, positions.ptr, null, nDims, ropeModes[mode], ...tail)
      : native.ggml_rope_multi(
          ctx.ptr,
          x.ptr,
          positions.ptr,
          null,
          nDims,
          Int32Array.from(sections),
          ropeModes[mode],
          ...tail,
        );
  return ctx.adopt(ptr, x.type, x.ne);
};

/** `GGML_PREC_F32` */
const precisionF32 = 10;

/**
 * softmax(scale · q kᵀ + mask) v: q f32 [headDim, n, nHead, b], k and v [headDim, nKv, nHeadKv, b], mask f16
 * [nKv, n, 1, 1 or b] or none → f32 [headDim, nHead, n, b].
 */
export const flashAttention = (
  ctx: Context,
  { q, k, v, mask, scale }: { q: Tensor; k: Tensor; v: Tensor; mask: Tensor | null; scale: number },
): Tensor => {
  const op = 'flash_attn';
  require(q.ne[0] === k.ne[0], op, 'the head sizes differ', q, k);
  require(k.ne[1] === v.ne[1] && k.ne[2] === v.ne[2], op, 'keys and values differ', k, v);
  require(q.ne[2] % k.ne[2] === 0, op, 'the query heads are no multiple of the key heads', q, k);
  require(q.ne[3] === k.ne[3] && q.ne[3] === v.ne[3], op, 'the batches differ', q, k);
  for (const t of [q, k, v]) requireContiguousRows(op, t);
  if (mask !== null) {
    requireType(op, mask, tensorTypes.f16);
    requireContiguous(op, mask);
    require(mask.ne[0] === k.ne[1] && mask.ne[1] >= q.ne[1], op, 'the mask is not [keys, queries]', mask, k, q);
    require(q.ne[2] % mask.ne[2] === 0 && q.ne[3] % mask.ne[3] === 0, op, 'the mask does not repeat', mask, q);
  }
  ctx.claim();
  const { native } = ctx;
  const ptr = native.ggml_flash_attn_ext(ctx.ptr, q.ptr, k.ptr, v.ptr, mask?.ptr ?? null, scale, 0, 0);
  native.ggml_flash_attn_ext_set_prec(ptr, precisionF32);
  return ctx.adopt(ptr, tensorTypes.f32, [v.ne[0], q.ne[2], q.ne[1], q.ne[3]]);
};
