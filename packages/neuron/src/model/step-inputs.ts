/** The numbers that a step's input tensors take: positions, cells and causal masks. */

/** f16 bit patterns. */
export const f16NegativeInfinity = 0xfc00;
const f16Zero = 0;

/** Cells looked at, rounded up so that a graph serves many steps and kernels get full tiles. */
export const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/** f16 [nCells, nTokens]: token j, the one at offset + j, looks at cells 0 .. offset + j of its sequence. */
export const causalMask = (nCells: number, nTokens: number, offset: number): Uint16Array => {
  const mask = new Uint16Array(nCells * nTokens).fill(f16NegativeInfinity);
  for (let j = 0; j < nTokens; j++) mask.fill(f16Zero, j * nCells, j * nCells + Math.min(offset + j + 1, nCells));
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
