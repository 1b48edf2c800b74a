/** The sequences that a step takes further, a row each: the shape of its graph, and what its inputs are filled with. */
import type { VisionPrompt } from './device-model.ts';
import { cellAlignment } from './memory-plan.ts';
import type { Sequence } from './sequence.ts';
import { causalMask, fillCells, fillPositions, roundUp } from './step-inputs.ts';
import type { StepShape, StepSplice, TextStep } from './text-step.ts';

/** All rows of a step have equally many ids. */
export interface SequenceRow {
  readonly sequence: Sequence;
  /** Where the step begins: behind the past, but for tokens that the recurrent state has yet to see. */
  readonly from: number;
  readonly ids: Int32Array;
  /** Where the recurrent state goes, if not to where it was. */
  readonly slotAfter?: number;
  /** Where its outputs come among those of the rows, if not where it comes itself. */
  readonly place?: number;
}

export const shapeOf = (
  rows: readonly SequenceRow[],
  splices: readonly StepSplice[],
  output: StepShape['output'],
  nOutputsPerRow: number,
): StepShape => {
  const nTokens = rows[0]?.ids.length ?? 0;
  return {
    nTokens,
    rows: rows.map(({ sequence, from, slotAfter }) => ({
      slot: sequence.slot,
      slotAfter: slotAfter ?? sequence.slot,
      firstCell: sequence.extent.start,
      nCells: roundUp(from + nTokens, cellAlignment),
    })),
    splices,
    output,
    nOutputs: nOutputsPerRow * rows.length,
  };
};

/** Positions of text: the same on all axes. */
export const textPositions = (rows: readonly SequenceRow[], axes: 1 | 4): Int32Array => {
  const nColumns = rows.reduce((n, { ids }) => n + ids.length, 0);
  const positions = new Int32Array(nColumns * axes);
  let at = 0;
  for (const { sequence, from, ids } of rows) {
    fillPositions(positions, { axes, nColumns }, at, from + sequence.ropeDelta, ids.length);
    at += ids.length;
  }
  return positions;
};

/** Of `n` tokens of a prompt from `offset` on. The fourth axis turns the pairs that no section reaches: they go by t. */
export const visionPositions = ({ t, h, w }: VisionPrompt['positions'], offset: number, n: number): Int32Array => {
  const positions = new Int32Array(4 * n);
  [t, h, w, t].forEach((axis, i) => positions.set(axis.subarray(offset, offset + n), i * n));
  return positions;
};

/** Fills all inputs of a step whose graph has memory. */
export const writeInputs = (
  step: TextStep,
  { nTokens, nOutputs, splices }: StepShape,
  rows: readonly SequenceRow[],
  positions: Int32Array,
): void => {
  const ids = new Int32Array(nTokens * rows.length);
  const cells = new BigInt64Array(nTokens * rows.length);
  rows.forEach(({ sequence, from, ids: own }, b) => {
    ids.set(own, b * nTokens);
    fillCells(cells, b * nTokens, sequence.extent.start + from, nTokens);
  });
  step.ids.write(ids);
  step.cells.write(cells);
  step.positions.write(positions);
  let firstRow = 0;
  step.runs.forEach(({ nRows, nCells }, i) => {
    const offsets = rows.slice(firstRow, firstRow + nRows).map(({ from }) => from);
    step.masks[i]?.write(causalMask(nCells, nTokens, offsets));
    firstRow += nRows;
  });
  splices.forEach(({ firstColumn, length }, i) => {
    const columns = new BigInt64Array(length);
    fillCells(columns, 0, firstColumn, length);
    step.spliceColumns[i]?.write(columns);
  });
  step.outputs?.write(outputColumns(rows, nTokens, nOutputs / rows.length));
  step.before?.write(statesBefore(rows, step.before.ne[0]));
};

/** The last columns of each sequence. */
const outputColumns = (rows: readonly SequenceRow[], nTokens: number, nPerRow: number): Int32Array => {
  const columns = new Int32Array(rows.length * nPerRow);
  rows.forEach(({ place }, b) => {
    for (let i = 0; i < nPerRow; i++) columns[(place ?? b) * nPerRow + i] = (b + 1) * nTokens - nPerRow + i;
  });
  return columns;
};

/** What the predictor is told of before each row; zeros where it is not known, a sequence's beginning foremost. */
const statesBefore = (rows: readonly SequenceRow[], hiddenSize: number): Float32Array => {
  const all = new Float32Array(rows.length * hiddenSize);
  rows.forEach(({ sequence: { behind, hidden, hiddenBefore } }, b) => {
    const before = behind.length > 0 ? hiddenBefore : hidden;
    if (before !== null) all.set(before, b * hiddenSize);
  });
  return all;
};
