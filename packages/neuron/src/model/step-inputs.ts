/** The numbers that a step's input tensors take: positions, cells and causal masks. */

/** f16 bit patterns. */
export const f16NegativeInfinity = 0xfc00;
const f16Zero = 0;

/** Cells looked at, rounded up so that a graph serves many steps and kernels get full tiles. */
export const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/**
 * f16 [nCells, nTokens, 1, offsets]: token j of a sequence, the one at its offset + j, looks at the sequence's cells
 * 0 .. offset + j.
 */
export const causalMask = (nCells: number, nTokens: number, offsets: readonly number[]): Uint16Array => {
  const mask = new Uint16Array(nCells * nTokens * offsets.length).fill(f16NegativeInfinity);
  offsets.forEach((offset, b) => {
    for (let j = 0; j < nTokens; j++) {
      const first = (b * nTokens + j) * nCells;
      mask.fill(f16Zero, first, first + Math.min(offset + j + 1, nCells));
    }
  });
  return mask;
};

/** Adds cells first + offset, first + offset + 1, … at `at`. */
export const fillCells = (cells: BigInt64Array, at: number, first: number, n: number): void => {
  for (let i = 0; i < n; i++) cells[at + i] = BigInt(first + i);
};

/** Positions of tokens that share all axes; `axes` blocks of `nColumns`. */
export const fillPositions = (
  positions: Int32Array,
  { axes, nColumns }: { readonly axes: 1 | 4; readonly nColumns: number },
  at: number,
  first: number,
  n: number,
): void => {
  for (let axis = 0; axis < axes; axis++) {
    for (let i = 0; i < n; i++) positions[axis * nColumns + at + i] = first + i;
  }
};
