/** Matrix products, and rows taken from and put into matrices by index. */
import type { Context } from '../context.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { tensorTypes } from '../types.ts';
import { require, requireContiguous, requireContiguousRows, requireType } from './check.ts';

/** w [k, m, …] · x [k, n, …] → [m, n, …] f32; w's last two dimensions repeat to x's. */
export const mulMat = (ctx: Context, w: Tensor, x: Tensor): Tensor => {
  require(w.ne[0] === x.ne[0], 'mul_mat', 'the first dimensions differ', w, x);
  require(x.ne[2] % w.ne[2] === 0 && x.ne[3] % w.ne[3] === 0, 'mul_mat', 'the outer dimensions do not repeat', w, x);
  require(w.nb[0] <= w.nb[1], 'mul_mat', 'the first is transposed', w);
  ctx.claim();
  const ne: Shape = [w.ne[1], x.ne[1], x.ne[2], x.ne[3]];
  return ctx.adopt(ctx.native.ggml_mul_mat(ctx.ptr, w.ptr, x.ptr), tensorTypes.f32, ne);
};

/**
 * The product with the matrices that each column's ids choose: w [k, m, nExpert], x [k, 1 or nUsed, n],
 * ids i32 [nUsed, n] → [m, nUsed, n] f32.
 */
export const mulMatId = (ctx: Context, w: Tensor, x: Tensor, ids: Tensor): Tensor => {
  requireType('mul_mat_id', ids, tensorTypes.i32);
  require(w.ne[0] === x.ne[0], 'mul_mat_id', 'the first dimensions differ', w, x);
  require(w.ne[3] === 1 && x.ne[3] === 1, 'mul_mat_id', 'four dimensions', w, x);
  require(ids.ne[1] === x.ne[2], 'mul_mat_id', 'the ids are for another number of columns', ids, x);
  require(ids.ne[0] % x.ne[1] === 0, 'mul_mat_id', 'the second dimension does not repeat to the ids', x, ids);
  ctx.claim();
  const ne: Shape = [w.ne[1], ids.ne[0], x.ne[2], 1];
  return ctx.adopt(ctx.native.ggml_mul_mat_id(ctx.ptr, w.ptr, x.ptr, ids.ptr), tensorTypes.f32, ne);
};

/** Rows of a [n, rows, b] chosen by ids i32 [m, b] → [n, m, b] f32. */
export const getRows = (ctx: Context, a: Tensor, ids: Tensor): Tensor => {
  requireType('get_rows', ids, tensorTypes.i32);
  require(a.ne[2] === ids.ne[1] && ids.ne[3] === 1 && a.ne[3] === 1, 'get_rows', 'the batches differ', a, ids);
  ctx.claim();
  const ne: Shape = [a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]];
  const type = a.type === tensorTypes.i32 ? tensorTypes.i32 : tensorTypes.f32;
  return ctx.adopt(ctx.native.ggml_get_rows(ctx.ptr, a.ptr, ids.ptr), type, ne);
};

/** Writes rows b f32 [n, m] into a [n, rows] at ids i64 or i32 [m], converting to a's type. The result is a view of a. */
export const setRows = (ctx: Context, a: Tensor, b: Tensor, ids: Tensor): Tensor => {
  requireType('set_rows', ids, tensorTypes.i64, tensorTypes.i32);
  requireType('set_rows', b, tensorTypes.f32);
  require(a.ne[0] === b.ne[0], 'set_rows', 'the row lengths differ', a, b);
  require(b.ne[1] === ids.ne[0], 'set_rows', 'there are not as many ids as rows', b, ids);
  require(a.ne[2] === b.ne[2] && a.ne[3] === b.ne[3], 'set_rows', 'the batches differ', a, b);
  requireContiguousRows('set_rows', a);
  requireContiguousRows('set_rows', b);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_set_rows(ctx.ptr, a.ptr, b.ptr, ids.ptr), a.type, a.ne, a.nb);
};

/** Indices i32 [k, rows] of each row's k largest, largest first: a view, with the distance of whole rows. */
export const argsortTopK = (ctx: Context, a: Tensor, k: number): Tensor => {
  requireType('argsort_top_k', a, tensorTypes.f32);
  require(k >= 1 && k <= a.ne[0], 'argsort_top_k', `k is ${k}`, a);
  ctx.claim();
  ctx.claim();
  const nb1 = a.ne[0] * 4;
  return ctx.adopt(
    ctx.native.ggml_argsort_top_k(ctx.ptr, a.ptr, k),
    tensorTypes.i32,
    [k, a.ne[1], a.ne[2], a.ne[3]],
    [4, nb1, nb1 * a.ne[1], nb1 * a.ne[1] * a.ne[2]],
  );
};

/** Index i32 [rows] of each row's largest: a [n, rows]. */
export const argmax = (ctx: Context, a: Tensor): Tensor => {
  requireType('argmax', a, tensorTypes.f32);
  requireContiguous('argmax', a);
  require(a.ne[2] === 1 && a.ne[3] === 1, 'argmax', 'more than two dimensions', a);
  ctx.claim();
  return ctx.adopt(ctx.native.ggml_argmax(ctx.ptr, a.ptr), tensorTypes.i32, [a.ne[1], 1, 1, 1]);
};
