/**
 * Guesses what follows a sequence with the model's predictor: token by token, each from the one before. The rows that this
 * leaves in the predictor's cache are in no past yet: steps of the model write them anew.
 */
import { Context, ops, tensorTypes, type Graph, type GraphRunner, type Native, type Tensor } from '@cortex/ggml';
import { argmax } from '../sampling/argmax.ts';
import type { ArchModel, GraphBuild, LayerCacheTensors, Predictor } from '../arch/arch.ts';
import { cellAlignment } from './memory-plan.ts';
import type { Sequence } from './sequence.ts';
import { causalMask, f16NegativeInfinity, fillCells, fillPositions, roundUp } from './step-inputs.ts';

/** Where the sequence's cells lie and how many are looked at. */
export interface PredictorShape {
  readonly firstCell: number;
  readonly nCells: number;
}

type Parts = Pick<GraphBuild, 'weight' | 'caches'> & { readonly isShared: boolean };

/** One token as a graph. */
export class PredictorStep implements Disposable {
  readonly id: Tensor;
  readonly before: Tensor;
  readonly positions: Tensor;
  readonly cell: Tensor;
  readonly mask: Tensor;
  /** [hidden, 1] */
  readonly hidden: Tensor;
  /** i32 [1]: the likeliest token; of a group of devices, each of which has some of them, its logits [nVocab, 1]. */
  readonly next: Tensor;
  readonly graph: Graph;
  readonly #ctx: Context;

  constructor(
    native: Native,
    model: ArchModel,
    predictor: Predictor,
    { isShared, ...parts }: Parts,
    shape: PredictorShape,
  ) {
    const nTensorsMax = predictor.nTensorsMax;
    const ctx = new Context(native, { nTensorsMax, nNodesMax: nTensorsMax });
    this.#ctx = ctx;
    this.id = ctx.tensor(tensorTypes.i32, [1]).named('id').asInput();
    this.before = ctx.tensor(tensorTypes.f32, [model.hiddenSize, 1]).named('before').asInput();
    this.positions = ctx.tensor(tensorTypes.i32, [model.positionAxes]).named('positions').asInput();
    this.cell = ctx.tensor(tensorTypes.i64, [1]).named('cell').asInput();
    this.mask = ctx.tensor(tensorTypes.f16, [shape.nCells, 1]).named('mask').asInput();
    this.graph = ctx.graph();
    const build: GraphBuild = { ctx, graph: this.graph, ...parts };
    const row = { slot: 0, slotAfter: 0 };
    const attended = [{ nRows: 1, ...shape, stride: shape.nCells, mask: this.mask }];
    const { id: ids, positions, cell: cells, before } = this;
    const batch = { nTokens: 1, rows: [row], attended, ids, positions, cells, splices: [], outputs: null, before };
    this.hidden = predictor.buildNext(build, batch).named('hidden').asOutput();
    const logits = model.buildHead(build, this.hidden);
    this.next = (isShared ? logits : ops.argmax(ctx, logits)).named('next').asOutput();
    this.graph.expand(this.next);
  }

  [Symbol.dispose](): void {
    this.#ctx[Symbol.dispose]();
  }
}

export interface PredictorStepsParts {
  readonly arch: ArchModel;
  readonly predictor: Predictor;
  readonly native: Native;
  readonly runner: GraphRunner;
  readonly caches: readonly LayerCacheTensors[];
  weight(name: string): Tensor;
  /** Of a group of devices, which can compute only the graph that was placed last: the runner is the one of all graphs. */
  readonly isShared: boolean;
}

export class PredictorSteps implements Disposable {
  readonly #parts: PredictorStepsParts;
  #kept: { readonly key: string; readonly step: PredictorStep } | null = null;

  constructor(parts: PredictorStepsParts) {
    this.#parts = parts;
  }

  get nBytes(): number {
    return this.#parts.isShared ? 0 : this.#parts.runner.nBytes;
  }

  reserve(contextMax: number): void {
    using step = this.#build({ firstCell: 0, nCells: roundUp(contextMax, cellAlignment) });
    this.#parts.runner.reserve(step.graph);
  }

  /** Up to `nMax` tokens behind `id`, which follows the past; none where what came before it is not known. */
  guess(sequence: Sequence, id: number, nMax: number): Int32Array {
    const { nPast, nTokensMax } = sequence;
    const n = Math.min(nMax, nTokensMax - nPast);
    let { hidden } = sequence;
    if (hidden === null || n < 1) return new Int32Array(0);
    const step = this.#stepFor({ firstCell: sequence.extent.start, nCells: roundUp(nPast + n, cellAlignment) });
    const guessed = new Int32Array(n);
    let last = id;
    for (let i = 0; i < n; i++) {
      this.#compute(step, sequence, { id: last, hidden, index: nPast + i });
      last = this.#likeliest(step);
      hidden = step.hidden.read(new Float32Array(hidden.length));
      guessed[i] = last;
    }
    return guessed;
  }

  #likeliest({ next }: PredictorStep): number {
    if (this.#parts.isShared) return argmax(next.read(new Float32Array(next.ne[0])), next.ne[0]);
    const [id = 0] = next.read(new Int32Array(1));
    return id;
  }

  #compute(
    step: PredictorStep,
    { extent, ropeDelta }: Sequence,
    { id, hidden, index }: { readonly id: number; readonly hidden: Float32Array; readonly index: number },
  ): void {
    const axes = this.#parts.arch.positionAxes;
    const positions = new Int32Array(axes);
    fillPositions(positions, { axes, nColumns: 1 }, 0, index + ropeDelta, 1);
    const cell = new BigInt64Array(1);
    fillCells(cell, 0, extent.start + index, 1);
    step.id.write(Int32Array.of(id));
    step.before.write(hidden);
    step.positions.write(positions);
    step.cell.write(cell);
    const mask = causalMask(step.mask.ne[0], 1, [index]);
    // Nothing is foretold by the first token, before which there was none.
    mask.fill(f16NegativeInfinity, 0, 1);
    step.mask.write(mask);
    this.#parts.runner.compute(step.graph);
  }

  #build(shape: PredictorShape): PredictorStep {
    const { arch, predictor, native, caches, isShared } = this.#parts;
    const weight = (name: string): Tensor => this.#parts.weight(name);
    return new PredictorStep(native, arch, predictor, { weight, caches, isShared }, shape);
  }

  #stepFor(shape: PredictorShape): PredictorStep {
    const key = `${shape.firstCell}+${shape.nCells}`;
    if (!this.#parts.isShared && this.#kept?.key === key) return this.#kept.step;
    this.#drop();
    const step = this.#build(shape);
    this.#parts.runner.allocate(step.graph);
    this.#kept = { key, step };
    return step;
  }

  #drop(): void {
    this.#kept?.step[Symbol.dispose]();
    this.#kept = null;
  }

  [Symbol.dispose](): void {
    this.#drop();
    if (!this.#parts.isShared) this.#parts.runner[Symbol.dispose]();
  }
}
