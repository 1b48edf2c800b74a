/**
 * A tower's square table of learned positions, resampled bilinearly (corners aligned) to an image's grid of patches
 * (Hugging Face `Qwen3_5VisionModel.fast_pos_embed_interpolate`).
 */
import type { TowerGrid } from '../arch/arch.ts';

/** Row and column of each patch in merge-block order: squares of mergeSize² neighbours together. */
export const mergeOrder = ({ h, w }: TowerGrid, mergeSize: number): { rows: Int32Array; columns: Int32Array } => {
  const rows = new Int32Array(h * w);
  const columns = new Int32Array(h * w);
  let at = 0;
  for (let blockRow = 0; blockRow < h; blockRow += mergeSize) {
    for (let blockColumn = 0; blockColumn < w; blockColumn += mergeSize) {
      for (let dy = 0; dy < mergeSize; dy++) {
        for (let dx = 0; dx < mergeSize; dx++, at++) {
          rows[at] = blockRow + dy;
          columns[at] = blockColumn + dx;
        }
      }
    }
  }
  return { rows, columns };
};

interface Tap {
  readonly low: number;
  readonly high: number;
  /** Weight of `high`. */
  readonly fraction: number;
}

const tapOf = (i: number, n: number, side: number): Tap => {
  const at = n === 1 ? 0 : Math.fround((i * (side - 1)) / (n - 1));
  const low = Math.floor(at);
  return { low, high: Math.min(low + 1, side - 1), fraction: Math.fround(at - low) };
};

/** table [side · side, width] → [h · w, width] in merge-block order, f32. */
export const resamplePositions = (
  table: Float32Array,
  { side, width }: { readonly side: number; readonly width: number },
  grid: TowerGrid,
  order: { readonly rows: Int32Array; readonly columns: Int32Array },
): Float32Array => {
  const result = new Float32Array(order.rows.length * width);
  for (let patch = 0; patch < order.rows.length; patch++) {
    const y = tapOf(order.rows[patch] ?? 0, grid.h, side);
    const x = tapOf(order.columns[patch] ?? 0, grid.w, side);
    const taps = [
      [y.low * side + x.low, (1 - y.fraction) * (1 - x.fraction)],
      [y.low * side + x.high, (1 - y.fraction) * x.fraction],
      [y.high * side + x.low, y.fraction * (1 - x.fraction)],
      [y.high * side + x.high, y.fraction * x.fraction],
    ] as const;
    const to = patch * width;
    for (const [cell, share] of taps) {
      if (share === 0) continue;
      const from = cell * width;
      for (let i = 0; i < width; i++) result[to + i] = (result[to + i] ?? 0) + share * (table[from + i] ?? 0);
    }
  }
  return result;
};
