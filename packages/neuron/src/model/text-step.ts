/**
 * One step of the language model as a ggml graph: built for a shape of batch, then computed any number of times with
 * new inputs. What changes from token to token (ids, positions, cells, masks) is input; what is baked in (where each
 * sequence's cells and slot lie, how many cells it looks at) makes up the shape's key.
 */
import {
  Context,
  ops,
  tensorTypes,
  type Graph,
  type GraphRunner,
  type Native,
  type SchedulerSize,
  type Tensor,
} from '@cortex/ggml';
import type { ArchModel, GraphBuild, LayerCacheTensors, TextBatch } from '../arch/arch.ts';
import { attentionRuns, type AttentionRun } from './attention-runs.ts';
import { expandInputs } from './expand-inputs.ts';

export interface StepRow {
  readonly slot: number;
  readonly slotAfter: number;
  readonly firstCell: number;
  readonly nCells: number;
}

export interface StepSplice {
  /** Where the image rows are: a tensor of embeddings and the first of its rows. */
  readonly embeds: Tensor;
  readonly firstRow: number;
  /** Columns of the step that they replace, one after the other. */
  readonly firstColumn: number;
  readonly length: number;
}

export interface StepShape {
  readonly nTokens: number;
  readonly rows: readonly StepRow[];
  readonly splices: readonly StepSplice[];
  /** `columns`: the logits of `nOutputs` columns; `hidden`: their final hidden states; `none`: only the caches. */
  readonly output: 'columns' | 'hidden' | 'none';
  readonly nOutputs: number;
}

/** Upper bound of the tensors that a step makes. */
const stepTensorsMax = (
  model: Pick<ArchModel, 'nTensorsMax' | 'nTensorsPerRow'>,
  { nRows, nSplices }: { readonly nRows: number; readonly nSplices: number },
): number => model.nTensorsMax + nRows * (model.nTensorsPerRow + 1) + nSplices * 3 + 9;

/** Of a scheduler that runs any step of a model with this many weights and layers. */
export const schedulerSizeOf = (
  model: Pick<ArchModel, 'nTensorsMax' | 'nTensorsPerRow' | 'caches'>,
  { nWeights, nSlots, chunkMax }: { readonly nWeights: number; readonly nSlots: number; readonly chunkMax: number },
): SchedulerSize => ({
  nNodesMax: stepTensorsMax(model, { nRows: nSlots, nSplices: chunkMax }),
  nLeafsMax: nWeights + 2 * model.caches.length + 2 * (nSlots + chunkMax) + 9,
});

/** Equal keys mean that a graph may be computed again. Graphs with image rows are never kept. */
export const stepKey = ({ nTokens, rows, output, nOutputs }: StepShape): string =>
  `${nTokens} ${output} ${nOutputs} ${rows.map((r) => `${r.slot}>${r.slotAfter}:${r.firstCell}+${r.nCells}`).join(' ')}`;

export class TextStep implements Disposable {
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly cells: Tensor;
  /** Sequences that attend together, in the order of the rows, and a mask for each run: see `AttendedRows`. */
  readonly runs: readonly AttentionRun[];
  readonly masks: readonly Tensor[];
  /** Null unless some columns are wanted. */
  readonly outputs: Tensor | null;
  /** f32 [hidden, rows]: see `TextBatch.before`. */
  readonly before: Tensor | null;
  /** With a predictor: the final hidden states of the wanted columns, [hidden, nOutputs]. */
  readonly hidden: Tensor | null;
  /** Columns of each splice, to be written like the other inputs. */
  readonly spliceColumns: readonly Tensor[];
  /** [nVocab or hidden, nOutputs]; null for output `none`. */
  readonly result: Tensor | null;
  readonly graph: Graph;
  readonly #ctx: Context;

  constructor(
    native: Native,
    model: ArchModel,
    parts: { readonly weight: (name: string) => Tensor; readonly caches: readonly LayerCacheTensors[] },
    shape: StepShape,
  ) {
    const nTensorsMax = stepTensorsMax(model, { nRows: shape.rows.length, nSplices: shape.splices.length });
    const ctx = new Context(native, { nTensorsMax, nNodesMax: nTensorsMax });
    this.#ctx = ctx;
    const n = shape.nTokens * shape.rows.length;
    this.ids = ctx.tensor(tensorTypes.i32, [n]).named('ids').asInput();
    this.positions = ctx
      .tensor(tensorTypes.i32, [n * model.positionAxes])
      .named('positions')
      .asInput();
    this.cells = ctx.tensor(tensorTypes.i64, [n]).named('cells').asInput();
    this.runs = attentionRuns(shape.rows, nCellsOf(parts.caches));
    this.masks = this.runs.map(({ nRows, nCells }, i) =>
      ctx.tensor(tensorTypes.f16, [nCells, shape.nTokens, 1, nRows]).named(`mask-${i}`).asInput(),
    );
    const isFollowed = model.predictor !== null;
    this.outputs =
      shape.output === 'none' && !isFollowed
        ? null
        : ctx.tensor(tensorTypes.i32, [shape.nOutputs]).named('outputs').asInput();
    this.before = isFollowed
      ? ctx.tensor(tensorTypes.f32, [model.hiddenSize, shape.rows.length]).named('before').asInput()
      : null;
    this.spliceColumns = shape.splices.map(({ length }) => ctx.tensor(tensorTypes.i64, [length]).asInput());
    this.graph = ctx.graph();
    const inputs = [this.ids, this.positions, this.cells, ...this.masks, ...this.spliceColumns];
    const others = [this.outputs, this.before].filter((input) => input !== null);
    expandInputs(ctx, this.graph, [...inputs, ...others]);
    const build: GraphBuild = { ctx, graph: this.graph, weight: parts.weight, caches: parts.caches };
    const hidden = model.buildText(build, this.#batch(shape));
    this.hidden = isFollowed ? hidden : null;
    if (this.hidden !== null) this.graph.expand(this.hidden.named('hidden').asOutput());
    this.result = hidden === null || shape.output === 'none' ? null : this.#finish(build, model, hidden, shape.output);
  }

  #batch({ nTokens, rows, splices }: StepShape): TextBatch {
    return {
      nTokens,
      rows,
      attended: this.runs.map((run, i) => ({ ...run, mask: at(this.masks, i) })),
      ids: this.ids,
      positions: this.positions,
      cells: this.cells,
      splices: splices.map(({ embeds, firstRow, length }, i) => ({
        rows: ops.view(this.#ctx, embeds, [embeds.ne[0], length], { offset: firstRow * embeds.nb[1] }),
        columns: at(this.spliceColumns, i),
      })),
      outputs: this.outputs ?? 'none',
      before: this.before,
    };
  }

  #finish(build: GraphBuild, model: ArchModel, hidden: Tensor, output: StepShape['output']): Tensor {
    const result = output === 'hidden' ? hidden : model.buildHead(build, hidden);
    result.named('result').asOutput();
    this.graph.expand(result);
    return result;
  }

  allocate(runner: GraphRunner): void {
    runner.allocate(this.graph);
  }

  [Symbol.dispose](): void {
    this.#ctx[Symbol.dispose]();
  }
}

/** Infinite without attention. */
const nCellsOf = (caches: readonly LayerCacheTensors[]): number =>
  caches.find((cache) => cache.kind === 'attention')?.keys.ne[1] ?? Infinity;

const at = <T>(items: readonly T[], i: number): T => {
  const item = items[i];
  if (item === undefined) throw new RangeError(`no item ${i} of ${items.length}`);
  return item;
};
