/** Shape checks: what ggml would answer with an abort of the process is an error naming the op and the shapes. */
import { shapeText, type Tensor } from '../tensor.ts';
import type { TensorType } from '../types.ts';

export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

export const require = (condition: boolean, op: string, why: string, ...tensors: readonly Tensor[]): void => {
  if (condition) return;
  const shapes = tensors.map((t) => `${t.type.name}${shapeText(t.ne)}`).join(' and ');
  throw new ShapeError(`${op}: ${shapes}: ${why}`);
};

export const requireType = (op: string, t: Tensor, ...types: readonly TensorType[]): void =>
  require(types.includes(t.type), op, `needs ${types.map((type) => type.name).join(' or ')}`, t);

export const requireContiguous = (op: string, t: Tensor): void =>
  require(t.isContiguous, op, 'needs contiguous data', t);

/** Rows whose elements lie side by side, at whatever distance the rows are. */
export const requireContiguousRows = (op: string, t: Tensor): void =>
  require(t.nb[0] === t.type.blockBytes, op, 'needs contiguous rows', t);
