/**
 * Which sequences of a batch are attended in one operation: neighbours in the batch whose parts of the KV cache begin
 * at equal distances. Each then looks at as many cells as the longest of them needs, and its mask hides the rest. Pure.
 */

/** Where one sequence's cells lie. */
export interface CellRow {
  readonly firstCell: number;
  /** Cells that it looks at. */
  readonly nCells: number;
}

export interface AttentionRun {
  readonly nRows: number;
  readonly firstCell: number;
  /** Cells from the beginning of one sequence to that of the next. */
  readonly stride: number;
  /** Cells that each looks at. */
  readonly nCells: number;
}

/** As many may be looked at in vain for one operation less: it takes about as long to begin. */
const cellsPerOperation = 1024;

/** The run with `row` behind it; null when it cannot be or would look at too much. */
const extended = (run: AttentionRun, nUseful: number, row: CellRow, nCellsInCache: number): AttentionRun | null => {
  const nRows = run.nRows + 1;
  const last = run.firstCell + (run.nRows - 1) * run.stride;
  const stride = row.firstCell - last;
  const nCells = Math.max(run.nCells, row.nCells);
  const isEven = stride > 0 && (run.nRows === 1 || stride === run.stride);
  const nInVain = nRows * nCells - nUseful - row.nCells;
  // Where they look at more than their distance, ggml wants as much room for a view as if none looked at another's.
  const end = Math.max(row.firstCell + nCells, run.firstCell + nRows * nCells);
  if (!isEven || end > nCellsInCache || nInVain > (nRows - 1) * cellsPerOperation) return null;
  return { nRows, firstCell: run.firstCell, stride, nCells };
};

/** All rows, in their order. */
export const attentionRuns = (rows: readonly CellRow[], nCellsInCache: number): readonly AttentionRun[] => {
  const runs: AttentionRun[] = [];
  let nUseful = 0;
  for (const row of rows) {
    const last = runs.at(-1);
    const longer = last === undefined ? null : extended(last, nUseful, row, nCellsInCache);
    if (longer === null) runs.push({ nRows: 1, ...row, stride: row.nCells });
    else runs[runs.length - 1] = longer;
    nUseful = longer === null ? row.nCells : nUseful + row.nCells;
  }
  return runs;
};
