/** Root mean square norm with a weight (Zhang & Sennrich 2019). */
import { ops, type Context, type Tensor } from '@cortex/ggml';

/** x [n, …], weight f32 [n] */
export const rmsNorm = (ctx: Context, x: Tensor, weight: Tensor, eps: number): Tensor =>
  ops.mul(ctx, ops.rmsNorm(ctx, x, eps), weight);

/** Mean and variance norm with weight and bias, over x's rows. */
export const layerNorm = (ctx: Context, x: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor =>
  ops.add(ctx, ops.mul(ctx, ops.layerNorm(ctx, x, eps), weight), bias);
