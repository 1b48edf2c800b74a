/** Views, reshapes and copies: the same numbers in another arrangement. */
import type { Context } from '../context.ts';
import { shapeOf, type Shape, type Tensor } from '../tensor.ts';
import { require, requireContiguous } from './check.ts';

export const reshape = (ctx: Context, a: Tensor, ...dims: readonly number[]): Tensor => {
  requireContiguous('reshape', a);
  const ne = shapeOf(dims);
  const n = ne[0] * ne[1] * ne[2] * ne[3];
  require(n === a.nElements, 'reshape', `${n} elements in [${dims.join(', ')}]`, a);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_reshape_4d(ctx.ptr, a.ptr, ...ne), a.type, ne);
};

export interface ViewStrides {
  /** Bytes from one element of dimension 1, 2, 3 to the next; contiguous by default. */
  readonly nb1?: number;
  readonly nb2?: number;
  readonly nb3?: number;
  /** Bytes from the start of the viewed tensor. */
  readonly offset?: number;
}

/**
 * A window on `a`: `dims` with the given strides. @throws ShapeError where it ends behind `a`, or would if its rows lay one
 * after the other: ggml ends the process for either.
 */
export const view = (ctx: Context, a: Tensor, dims: readonly number[], strides: ViewStrides = {}): Tensor => {
  const ne = shapeOf(dims);
  const nb0 = a.type.blockBytes;
  const nb1 = strides.nb1 ?? (nb0 * ne[0]) / a.type.blockSize;
  const nb2 = strides.nb2 ?? nb1 * ne[1];
  const nb3 = strides.nb3 ?? nb2 * ne[2];
  const offset = strides.offset ?? 0;
  const rowEnd = (nb0 * ne[0]) / a.type.blockSize;
  const strided = (ne[3] - 1) * nb3 + (ne[2] - 1) * nb2 + (ne[1] - 1) * nb1 + rowEnd;
  const end = offset + Math.max(strided, rowEnd * ne[1] * ne[2] * ne[3]);
  const size = (a.ne[3] - 1) * a.nb[3] + (a.ne[2] - 1) * a.nb[2] + (a.ne[1] - 1) * a.nb[1];
  const aEnd = size + (a.nb[0] * a.ne[0]) / a.type.blockSize;
  require(offset >= 0 && end <= aEnd, 'view', `[${dims.join(', ')}] ends at byte ${end} of ${aEnd}`, a);
  ctx.claim();
  const ptr = ctx.native.ggml_view_4d(ctx.ptr, a.ptr, ...ne, nb1, nb2, nb3, offset);
  return ctx.adopt(ptr, a.type, ne, [nb0, nb1, nb2, nb3]);
};

/** Dimension i of `a` becomes dimension axes[i] of the view. */
export const permute = (ctx: Context, a: Tensor, axes: Shape): Tensor => {
  require([0, 1, 2, 3].every((axis) => axes.includes(axis)), 'permute', `axes ${axes.join(', ')}`, a);
  const ne: [number, number, number, number] = [1, 1, 1, 1];
  const nb: [number, number, number, number] = [0, 0, 0, 0];
  for (const from of [0, 1, 2, 3] as const) {
    const to = axes[from];
    ne[to] = a.ne[from];
    nb[to] = a.nb[from];
  }
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_permute(ctx.ptr, a.ptr, ...axes), a.type, ne, nb);
};

/** A view with the first two dimensions exchanged. */
export const transpose = (ctx: Context, a: Tensor): Tensor => {
  ctx.claim();
  return ctx.adopt(
    ctx.native.ggml_transpose(ctx.ptr, a.ptr),
    a.type,
    [a.ne[1], a.ne[0], a.ne[2], a.ne[3]],
    [a.nb[1], a.nb[0], a.nb[2], a.nb[3]],
  );
};

/** A contiguous copy, of the same shape or as [dims]. */
export const cont = (ctx: Context, a: Tensor, ...dims: readonly number[]): Tensor => {
  if (dims.length === 0) {
    ctx.claim();
    return ctx.adopt(ctx.native.ggml_cont(ctx.ptr, a.ptr), a.type, a.ne);
  }
  const ne = shapeOf(dims);
  require(ne[2] === 1 && ne[3] === 1 && ne[0] * ne[1] === a.nElements, 'cont', `as [${dims.join(', ')}]`, a);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_cont_2d(ctx.ptr, a.ptr, ne[0], ne[1]), a.type, ne);
};

/** Copies `a` into `target` (of as many elements), converting its type. The result is a view of `target`. */
export const copyInto = (ctx: Context, a: Tensor, target: Tensor): Tensor => {
  require(a.nElements === target.nElements, 'cpy', 'the sizes differ', a, target);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_cpy(ctx.ptr, a.ptr, target.ptr), target.type, target.ne, target.nb);
};

/** a and b one after the other along `dim`. */
export const concat = (ctx: Context, a: Tensor, b: Tensor, dim: 0 | 1 | 2 | 3): Tensor => {
  require(a.type === b.type, 'concat', 'the types differ', a, b);
  require(a.ne.every(
    (n, i) => i === dim || n === b.ne[i],
  ), 'concat', `the shapes differ beside dimension ${dim}`, a, b);
  ctx.claim();
  const ne: [number, number, number, number] = [...a.ne];
  ne[dim] += b.ne[dim];
  return ctx.adopt(ctx.native.ggml_concat(ctx.ptr, a.ptr, b.ptr, dim), a.type, ne);
};
