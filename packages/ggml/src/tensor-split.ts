/** How a tensor is dealt out among the devices of a group. */
import type { Shape } from './tensor.ts';

/** Along one axis lie `repeat` parts of equal length side by side; every part is dealt out alike. */
export interface TensorSplit {
  readonly axis: 0 | 1;
  readonly repeat: number;
  /** Elements of one part that each device gets, in the devices' order. */
  readonly lengths: readonly number[];
}

/** The shape of what one device holds. */
export const sliceShape = (ne: readonly number[], { axis, repeat, lengths }: TensorSplit, iDevice: number): number[] =>
  ne.map((n, i) => (i === axis ? repeat * (lengths[iDevice] ?? 0) : n));

/** @throws RangeError when the parts do not make up the axis, for ggml ends the process then. */
export const checkSplit = (ne: Shape, blockSize: number, { axis, repeat, lengths }: TensorSplit): void => {
  const sum = repeat * lengths.reduce((total, n) => total + n, 0);
  if (sum !== ne[axis]) throw new RangeError(`a split of ${sum} elements along an axis of ${ne[axis]}`);
  const unit = axis === 0 ? blockSize : 1;
  if (lengths.some((n) => n < 1 || n % unit !== 0)) {
    throw new RangeError(`a split into ${lengths.join(', ')}: whole blocks of ${unit} and none empty`);
  }
};
