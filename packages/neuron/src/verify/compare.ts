/** How far numbers are from their reference. */

export interface Difference {
  readonly maxAbs: number;
  /** Smallest over the rows. */
  readonly cosine: number;
}

const cosineOf = (a: Float32Array, b: ArrayLike<number>, from: number, to: number, shift: number): number => {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = from; i < to; i++) {
    const x = a[i + shift] ?? NaN;
    const y = b[i] ?? NaN;
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / Math.sqrt(aa * bb);
};

/** The last rows of `actual` against all of `wanted`, rows of `rowLength`. NaN wherever one is not a number. */
export const differenceOf = (actual: Float32Array, wanted: ArrayLike<number>, rowLength: number): Difference => {
  const shift = actual.length - wanted.length;
  if (shift < 0 || wanted.length % rowLength !== 0) {
    throw new Error(`${actual.length} numbers against ${wanted.length} in rows of ${rowLength}`);
  }
  let maxAbs = 0;
  let cosine = 1;
  for (let from = 0; from < wanted.length; from += rowLength) {
    for (let i = from; i < from + rowLength; i++) {
      const delta = Math.abs((actual[i + shift] ?? NaN) - (wanted[i] ?? NaN));
      if (!(delta <= maxAbs)) maxAbs = delta;
    }
    const row = cosineOf(actual, wanted, from, from + rowLength, shift);
    if (!(row >= cosine)) cosine = row;
  }
  return { maxAbs, cosine };
};

export const sameNumbers = (actual: ArrayLike<number>, wanted: ArrayLike<number>): boolean => {
  if (actual.length !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) if (actual[i] !== wanted[i]) return false;
  return true;
};

/** The worse of two. */
export const worse = (a: Difference, b: Difference): Difference => ({
  maxAbs: b.maxAbs > a.maxAbs || Number.isNaN(b.maxAbs) ? b.maxAbs : a.maxAbs,
  cosine: b.cosine < a.cosine || Number.isNaN(b.cosine) ? b.cosine : a.cosine,
});
