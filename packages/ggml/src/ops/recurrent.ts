/** The two operations of a gated delta net layer (Yang et al. 2024, "Gated Delta Networks"). */
import type { Context } from '../context.ts';
import type { Tensor } from '../tensor.ts';
import { tensorTypes } from '../types.ts';
import { require, requireContiguous, requireContiguousRows, requireType } from './check.ts';

/**
 * Causal depthwise convolution: x f32 [kernel − 1 + t, channels, b], time fastest, the last inputs of the past in
 * front; w f32 [kernel, channels] → [channels, t, b].
 */
export const ssmConv = (ctx: Context, x: Tensor, w: Tensor): Tensor => {
  requireType('ssm_conv', x, tensorTypes.f32);
  requireType('ssm_conv', w, tensorTypes.f32);
  requireContiguous('ssm_conv', x);
  requireContiguous('ssm_conv', w);
  const nTokens = x.ne[0] - w.ne[0] + 1;
  require(nTokens >= 1, 'ssm_conv', 'fewer inputs than the kernel is long', x, w);
  require(x.ne[1] === w.ne[1] && x.ne[3] === 1 && w.ne[2] === 1, 'ssm_conv', 'the channels differ', x, w);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_ssm_conv(ctx.ptr, x.ptr, w.ptr), tensorTypes.f32, [w.ne[1], nTokens, x.ne[2], 1]);
};

export interface DeltaNetInputs {
  /** [S, Hk, t, b], l2-normalised; scaled by 1/√S inside. */
  readonly q: Tensor;
  /** [S, Hk, t, b], l2-normalised. */
  readonly k: Tensor;
  /** [S, Hv, t, b]; value head h goes with key head h mod Hk. */
  readonly v: Tensor;
  /** [1, Hv, t, b], logarithm of the decay. */
  readonly g: Tensor;
  /** [1, Hv, t, b], 0..1. */
  readonly beta: Tensor;
  /** [S, S, Hv, b] = [key, value, head, sequence]. */
  readonly state: Tensor;
}

/** f32 [S·Hv, t·b + S·b]: first the outputs [S, Hv, t, b], behind them the new states [S, S, Hv, b]. */
export const gatedDeltaNet = (ctx: Context, { q, k, v, g, beta, state }: DeltaNetInputs): Tensor => {
  const op = 'gated_delta_net';
  const [s, hv, t, b] = v.ne;
  for (const x of [q, k, v]) {
    requireType(op, x, tensorTypes.f32);
    requireContiguousRows(op, x);
  }
  for (const x of [g, beta, state]) {
    requireType(op, x, tensorTypes.f32);
    requireContiguous(op, x);
  }
  require(q.ne.every((n, dim) => n === k.ne[dim]), op, 'q and k differ', q, k);
  require(q.ne[0] === s && q.ne[2] === t && q.ne[3] === b, op, 'q and v differ', q, v);
  require(hv % q.ne[1] === 0, op, 'the value heads are no multiple of the key heads', v, q);
  for (const x of [g, beta]) {
    require(x.ne[0] === 1 && x.ne[1] === hv && x.ne[2] === t && x.ne[3] === b, op, 'a gate is not [1, Hv, t, b]', x, v);
  }
  require(state.ne[0] === s &&
    state.ne[1] === s &&
    state.ne[2] === hv &&
    state.ne[3] === b, op, 'the state is not [S, S, Hv, b]', state, v);
  ctx.claim();
  const ptr = ctx.native.ggml_gated_delta_net(ctx.ptr, q.ptr, k.ptr, v.ptr, g.ptr, beta.ptr, state.ptr, 1);
  return ctx.adopt(ptr, tensorTypes.f32, [s * hv, t * b + s * b, 1, 1]);
};
