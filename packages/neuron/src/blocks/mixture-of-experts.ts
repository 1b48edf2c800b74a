/**
 * Routed experts: softmax over all, the k likeliest, their gated feed-forward outputs summed by weight
 * (Hugging Face `Qwen3MoeSparseMoeBlock`, `Qwen3_5MoeSparseMoeBlock`).
 */
import { ops, type Tensor } from '@cortex/ggml';
import type { GraphBuild } from '../arch/arch.ts';
import { gatedMlp } from './mlp.ts';

export interface MixtureShape {
  readonly nExperts: number;
  readonly nUsed: number;
  /** Divide the chosen weights by their sum. */
  readonly normalise: boolean;
  /** One expert that every token passes, behind a gate of its own. */
  readonly hasShared: boolean;
}

/** x [hidden, n] → [hidden, n]; weights `<prefix>_gate_inp`, `_gate_exps`, `_up_exps`, `_down_exps`, `_*_shexp`. */
export const mixtureOfExperts = (build: GraphBuild, x: Tensor, prefix: string, shape: MixtureShape): Tensor => {
  const { ctx, weight } = build;
  const [hidden, n] = x.ne;
  const { nExperts, nUsed } = shape;
  const probs = ops.softMax(ctx, ops.mulMat(ctx, weight(`${prefix}_gate_inp.weight`), x)); // [nExperts, n]
  const chosen = ops.argsortTopK(ctx, probs, nUsed); // i32 [nUsed, n]
  let share = ops.getRows(ctx, ops.reshape(ctx, probs, 1, nExperts, n), chosen); // [1, nUsed, n]
  if (shape.normalise) {
    const flat = ops.reshape(ctx, share, nUsed, n);
    share = ops.reshape(ctx, ops.div(ctx, flat, ops.sumRows(ctx, flat)), 1, nUsed, n);
  }
  const columns = ops.reshape(ctx, x, hidden, 1, n);
  const gate = ops.mulMatId(ctx, weight(`${prefix}_gate_exps.weight`), columns, chosen); // [ff, nUsed, n]
  const up = ops.mulMatId(ctx, weight(`${prefix}_up_exps.weight`), columns, chosen);
  const down = ops.mulMatId(ctx, weight(`${prefix}_down_exps.weight`), ops.swigluSplit(ctx, gate, up), chosen);
  const outputs = ops.mul(ctx, down, share); // [hidden, nUsed, n]
  const expert = (i: number): Tensor =>
    ops.view(ctx, outputs, [hidden, n], { nb1: outputs.nb[2], offset: i * outputs.nb[1] });
  let sum = expert(0);
  for (let i = 1; i < nUsed; i++) sum = ops.add(ctx, sum, expert(i));
  if (nUsed === 1) sum = ops.cont(ctx, sum);
  if (!shape.hasShared) return sum;
  const shared = gatedMlp(build, x, prefix, '_shexp');
  const open = ops.sigmoid(ctx, ops.mulMat(ctx, weight(`${prefix}_gate_inp_shexp.weight`), x)); // [1, n]
  return ops.add(ctx, sum, ops.mul(ctx, shared, open));
};
