/** Element-wise operations, sums and norms. Results are f32 (or their first operand's type) and contiguous. */
import type { Context } from '../context.ts';
import type { Pointer } from '../native.ts';
import type { Tensor } from '../tensor.ts';
import { tensorTypes } from '../types.ts';
import { require, requireContiguous, requireContiguousRows, requireType } from './check.ts';

/** Whether `b` may be repeated to the shape of `a`. */
const repeats = (a: Tensor, b: Tensor): boolean => a.ne.every((n, dim) => n % (b.ne[dim] ?? 1) === 0);

type BinaryName = 'ggml_add' | 'ggml_mul' | 'ggml_div';

const binary =
  (name: BinaryName, op: string) =>
  (ctx: Context, a: Tensor, b: Tensor): Tensor => {
    require(repeats(a, b), op, 'the second does not repeat to the first', a, b);
    requireContiguousRows(op, b);
    ctx.claim();
    return ctx.adopt(ctx.native[name](ctx.ptr, a.ptr, b.ptr), a.type, a.ne);
  };

/** a + b, b repeated to a's shape. */
export const add = binary('ggml_add', 'add');
/** a · b element by element, b repeated to a's shape. */
export const mul = binary('ggml_mul', 'mul');
/** a / b element by element, b repeated to a's shape. */
export const div = binary('ggml_div', 'div');

type UnaryName = 'ggml_silu' | 'ggml_sigmoid' | 'ggml_softplus' | 'ggml_gelu_erf' | 'ggml_soft_max';

const unary =
  (name: UnaryName, op: string) =>
  (ctx: Context, a: Tensor): Tensor => {
    requireType(op, a, tensorTypes.f32);
    requireContiguous(op, a);
    ctx.claim();
    return ctx.adopt(ctx.native[name](ctx.ptr, a.ptr), a.type, a.ne);
  };

export const silu = unary('ggml_silu', 'silu');
export const sigmoid = unary('ggml_sigmoid', 'sigmoid');
export const softplus = unary('ggml_softplus', 'softplus');
/** x · Φ(x), the exact form. */
export const geluErf = unary('ggml_gelu_erf', 'gelu_erf');
/** Over each row. */
export const softMax = unary('ggml_soft_max', 'soft_max');

/** silu(gate) · up, both of one shape. */
export const swigluSplit = (ctx: Context, gate: Tensor, up: Tensor): Tensor => {
  require(gate.ne.every((n, dim) => n === up.ne[dim]), 'swiglu', 'the shapes differ', gate, up);
  requireContiguousRows('swiglu', gate);
  requireContiguousRows('swiglu', up);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_swiglu_split(ctx.ptr, gate.ptr, up.ptr), gate.type, gate.ne);
};

export const scale = (ctx: Context, a: Tensor, factor: number): Tensor => {
  requireType('scale', a, tensorTypes.f32);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_scale(ctx.ptr, a.ptr, factor), a.type, a.ne);
};

/** factor · a + bias */
export const scaleBias = (ctx: Context, a: Tensor, factor: number, bias: number): Tensor => {
  requireType('scale', a, tensorTypes.f32);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_scale_bias(ctx.ptr, a.ptr, factor, bias), a.type, a.ne);
};

/** √(2/π) · 2 */
const geluSlope = 1.5957691216057308;
const geluCubic = 0.044715;

/**
 * x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))), written with the sigmoid: ggml's own op looks its values up in a table of
 * f16 numbers on a CPU, which is good to 2e-3 only.
 */
export const geluTanh = (ctx: Context, x: Tensor): Tensor => {
  const slope = scaleBias(ctx, mul(ctx, x, x), geluSlope * geluCubic, geluSlope);
  return mul(ctx, x, sigmoid(ctx, mul(ctx, slope, x)));
};

/** [n, …] → [1, …] */
export const sumRows = (ctx: Context, a: Tensor): Tensor => {
  requireType('sum_rows', a, tensorTypes.f32);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_sum_rows(ctx.ptr, a.ptr), a.type, [1, a.ne[1], a.ne[2], a.ne[3]]);
};

const normOf =
  (op: string, call: (ctx: Context, a: Pointer, eps: number) => Pointer) =>
  (ctx: Context, a: Tensor, eps: number): Tensor => {
    requireType(op, a, tensorTypes.f32);
    requireContiguousRows(op, a);
    ctx.claim();
    return ctx.adopt(call(ctx, a.ptr, eps), a.type, a.ne);
  };

/** (x − mean) / √(variance + eps) over each row, no weight. */
export const layerNorm = normOf('norm', (ctx, a, eps) => ctx.native.ggml_norm(ctx.ptr, a, eps));
/** x / √(mean(x²) + eps) over each row, no weight. */
export const rmsNorm = normOf('rms_norm', (ctx, a, eps) => ctx.native.ggml_rms_norm(ctx.ptr, a, eps));
