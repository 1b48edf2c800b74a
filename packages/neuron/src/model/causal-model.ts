/**
 * A language model on a device, with its caches and, if it has one, its vision tower. Each forward pass becomes a
 * graph; those of decode steps and drafts are kept for the next ones of the same shape.
 */
import { CortexError } from '@cortex/core';
import type { FinerWeights } from './weight-plan.ts';
import type { Backend, BufferType, GraphRunner, Native, Tensor } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import type { Caches } from './caches.ts';
import type { DeviceModel, ForwardOutput, ImageInput, ModelPart, ModelSequence, VisionPrompt } from './device-model.ts';
import type { DeviceEmbeds } from './device-embeds.ts';
import { ImageEncoder } from './image-encoder.ts';
import { imageSplices } from './image-splices.ts';
import type { LargestSteps } from './memory-needs.ts';
import { cellAlignment } from './memory-plan.ts';
import { KeptSteps } from './kept-steps.ts';
import { PredictorSteps } from './predictor-steps.ts';
import { PrefixCopies } from './prefix-copies.ts';
import { ResultRows } from './result-rows.ts';
import { SequenceRooms } from './sequence-rooms.ts';
import { Sequence } from './sequence.ts';
import { shapeOf, textPositions, visionPositions, writeInputs, type SequenceRow } from './step-rows.ts';
import { TextStep, type StepShape, type StepSplice } from './text-step.ts';
import type { TowerRun } from './tower-run.ts';
import type { Weights } from './weights.ts';

export interface CausalModelParts {
  readonly modelId: string;
  readonly arch: ArchModel;
  readonly native: Native;
  newRunner(): GraphRunner;
  /** Computes the vision tower. */
  readonly tower: { readonly bufferType: BufferType; readonly backend: Backend };
  /** A group's memory, if image rows must be handed on to it; null where they are read where they are. */
  readonly readers: BufferType | null;
  /** What it takes of each of several devices; empty on a single one. */
  readonly memberBytes: readonly number[];
  readonly parts: readonly ModelPart[];
  readonly finer: readonly FinerWeights[];
  readonly weights: Weights;
  readonly caches: Caches;
  readonly contextMax: number;
  readonly kvTokens: number;
  readonly nSlots: number;
  readonly kvBytesPerToken: number;
  readonly stateBytes: number;
  /** A slot beyond those of sequences, for states that may be thrown away; null where nothing is drafted. */
  readonly spareSlot: number | null;
  /** Guesses in a draft, at most. */
  readonly draftMax: number;
  /** f32 position table of the tower; null without one. */
  readonly positionTable: Float32Array | null;
}

/** A step that is not part of its sequence yet. */
interface Draft {
  readonly sequence: Sequence;
  readonly nPast: number;
  /** Tokens that the state was behind by, then those drafted. */
  readonly ids: readonly number[];
  readonly nBehind: number;
  readonly spareSlot: number;
  /** Final hidden states of those drafted; null without a predictor. */
  readonly hidden: Float32Array | null;
}

export class CausalModel implements DeviceModel {
  readonly contextMax: number;
  readonly kvTokens: number;
  readonly nSlots: number;
  readonly nLogits: number;
  readonly hiddenSize: number;
  readonly imageTokenId: number | null;
  readonly kept: PrefixCopies;
  readonly parts: readonly ModelPart[];
  readonly memberBytes: readonly number[];
  readonly finer: readonly FinerWeights[];
  readonly #parts: CausalModelParts;
  readonly #encoder: ImageEncoder | null;
  readonly #predictor: PredictorSteps | null;
  readonly #rooms: SequenceRooms;
  readonly #runner: GraphRunner;
  /** Apart from the prefill's, so that a prefill between two decode steps does not displace the kept graphs. */
  readonly #decodeRunner: GraphRunner;
  readonly #keptSteps: KeptSteps;
  readonly #results: ResultRows;
  #spareSlot: number | null;
  /** Final hidden states of the last step's outputs; null without a predictor. */
  #hidden: Float32Array | null = null;
  #draft: Draft | null = null;

  constructor(parts: CausalModelParts) {
    const { arch, native, tower, readers, weights } = parts;
    this.#parts = parts;
    ({ parts: this.parts, memberBytes: this.memberBytes, finer: this.finer } = parts);
    this.#spareSlot = parts.spareSlot;
    this.contextMax = parts.contextMax;
    this.kvTokens = parts.kvTokens;
    this.nSlots = parts.nSlots;
    this.nLogits = arch.nVocab;
    this.hiddenSize = arch.hiddenSize;
    this.imageTokenId = arch.vision?.imageTokenId ?? null;
    this.#results = new ResultRows(Math.max(parts.nSlots, parts.draftMax + 1) * arch.nVocab);
    this.#rooms = new SequenceRooms(parts.kvTokens, cellAlignment, parts.nSlots);
    this.#runner = parts.newRunner();
    this.#decodeRunner = parts.newRunner();
    const displacing = readers === null ? null : this.#runner;
    this.#keptSteps = new KeptSteps(this.#decodeRunner, (shape) => this.#build(shape), displacing);
    const { caches, kvBytesPerToken, stateBytes } = parts;
    const [runner, rooms] = [this.#runner, this.#rooms];
    const settle = (sequence: Sequence): void => this.#settle(sequence);
    this.kept = new PrefixCopies({ runner, caches, rooms, kvBytesPerToken, stateBytes, settle });
    const weight = (name: string): Tensor => weights.get(name);
    const { predictor } = arch;
    this.#predictor =
      predictor === null
        ? null
        : new PredictorSteps({
            arch,
            predictor,
            native,
            runner: displacing ?? parts.newRunner(),
            isShared: displacing !== null,
            caches: caches.layers,
            weight,
          });
    this.#encoder =
      arch.vision === null || parts.positionTable === null
        ? null
        : new ImageEncoder({
            ...tower,
            tower: arch.vision,
            readers,
            positionTable: parts.positionTable,
            hiddenSize: arch.hiddenSize,
            weight,
          });
  }

  get bytes(): number {
    const { weights, caches } = this.#parts;
    const { memberBytes } = this;
    if (memberBytes.length > 0) return memberBytes.reduce((sum, nBytes) => sum + nBytes, 0);
    const compute = this.#runner.nBytes + this.#decodeRunner.nBytes + (this.#encoder?.nBytes ?? 0);
    return weights.nBytes + caches.nBytes + compute + (this.#predictor?.nBytes ?? 0);
  }

  /** Takes the memory that steps of these shapes need, so that none can run out of it. @throws OutOfMemoryError. */
  reserve({ chunk, kept }: LargestSteps): void {
    this.#reserve(this.#runner, chunk);
    for (const shape of kept) this.#reserve(this.#decodeRunner, shape);
    this.#predictor?.reserve(this.contextMax);
  }

  #reserve(runner: GraphRunner, shape: StepShape): void {
    using step = this.#build(shape);
    runner.reserve(step.graph);
  }

  get hasVision(): boolean {
    return this.#encoder !== null;
  }

  open(nTokensMax: number): Sequence | null {
    const sequence = this.#rooms.open(nTokensMax);
    if (sequence !== null) this.#parts.caches.clearSlot(sequence.slot);
    return sequence;
  }

  encodeImage(image: ImageInput): DeviceEmbeds {
    using encoding = this.beginImage(image);
    return encoding.finish();
  }

  beginImage(image: ImageInput): TowerRun {
    if (this.#encoder === null) throw visionUnsupported(this.#parts.modelId);
    return this.#encoder.begin(image);
  }

  forward(sequence: ModelSequence, inputIds: Int32Array, offset: number, output: ForwardOutput): Float32Array {
    const own = ownSequence(sequence);
    own.checkStep(offset, inputIds.length);
    this.#settle(own);
    const rows = [{ sequence: own, from: offset, ids: inputIds }];
    return this.#run(rows, output, output === 'all' ? inputIds.length : 1);
  }

  forwardWithVision(
    sequence: ModelSequence,
    inputIds: Int32Array,
    offset: number,
    prompt: VisionPrompt,
    imageTokenId: number,
    output: ForwardOutput,
  ): Float32Array {
    if (this.#encoder === null) throw visionUnsupported(this.#parts.modelId);
    const own = ownSequence(sequence);
    own.checkStep(offset, inputIds.length);
    const n = inputIds.length;
    const positions = visionPositions(prompt.positions, offset, n);
    own.ropeDelta = prompt.positions.ropeDelta;
    const splices = imageSplices(inputIds, offset, prompt, imageTokenId);
    const rows = [{ sequence: own, from: offset, ids: inputIds }];
    return this.#run(rows, output, output === 'all' ? n : 1, { positions, splices });
  }

  decode(rows: readonly { readonly sequence: ModelSequence; readonly id: number }[]): Float32Array {
    const inputs = rows.map(({ sequence, id }, place): SequenceRow => {
      const own = ownSequence(sequence);
      own.checkStep(own.nPast, 1);
      // Alone it takes the tokens that its state has not seen along; in a batch all rows have one.
      if (rows.length > 1) this.#settle(own);
      return { sequence: own, from: own.nPast - own.behind.length, ids: Int32Array.of(...own.behind, id), place };
    });
    // States that lie side by side are used where they lie; without any, cells at equal distances are attended at once.
    const startOf = ({ sequence }: SequenceRow): number =>
      this.#parts.stateBytes > 0 ? sequence.slot : sequence.extent.start;
    const sorted = inputs.toSorted((a, b) => startOf(a) - startOf(b));
    return this.#run(sorted, 'last', 1);
  }

  draft(sequence: ModelSequence, ids: Int32Array): Float32Array {
    const own = ownSequence(sequence);
    const spareSlot = this.#spareSlot;
    if (spareSlot === null) throw new Error('the model was loaded for no drafts');
    own.checkStep(own.nPast, ids.length);
    // Each step computes these again: a pass for them alone is worth it before they are many.
    if (own.behind.length > this.#parts.draftMax) this.#settle(own);
    const { nPast, behind, hidden, hiddenBefore } = own;
    const all = [...behind, ...ids];
    const rows = [{ sequence: own, from: nPast - behind.length, ids: Int32Array.from(all), slotAfter: spareSlot }];
    const logits = this.#run(rows, 'last', ids.length);
    const drafted = this.#hidden;
    Object.assign(own, { nPast, behind, hidden, hiddenBefore: behind.length > 0 ? hiddenBefore : hidden });
    this.#draft = { sequence: own, nPast, ids: all, nBehind: behind.length, spareSlot, hidden: drafted };
    return logits;
  }

  get canGuess(): boolean {
    return this.#predictor !== null;
  }

  guess(sequence: ModelSequence, id: number, nMax: number): Int32Array {
    return this.#predictor?.guess(ownSequence(sequence), id, nMax) ?? new Int32Array(0);
  }

  keep(sequence: ModelSequence, n: number): void {
    const draft = this.#draft;
    if (draft === null || draft.sequence !== sequence) throw new Error('nothing was drafted for this sequence');
    const own = draft.sequence;
    const nIds = draft.nBehind + n;
    if (draft.nPast + n < own.nPast || nIds > draft.ids.length) throw new RangeError(`${n} of a draft cannot be kept`);
    own.nPast = draft.nPast + n;
    own.hidden = draft.hidden?.slice((n - 1) * this.hiddenSize, n * this.hiddenSize) ?? null;
    const isWhole = nIds === draft.ids.length;
    own.behind = isWhole || this.#parts.stateBytes === 0 ? [] : draft.ids.slice(0, nIds);
    if (!isWhole) return;
    this.#spareSlot = own.slot;
    own.slot = draft.spareSlot;
    this.#draft = null;
  }

  /** Lets the recurrent state see all tokens of the past. */
  #settle(sequence: Sequence): void {
    const { behind, nPast } = sequence;
    if (behind.length === 0) return;
    const rows = [{ sequence, from: nPast - behind.length, ids: Int32Array.from(behind) }];
    this.#run(rows, 'none', 1);
  }

  #run(
    rows: readonly SequenceRow[],
    output: ForwardOutput,
    nOutputsPerRow: number,
    vision: { readonly positions: Int32Array; readonly splices: readonly StepSplice[] } | null = null,
  ): Float32Array {
    const positions = vision?.positions ?? textPositions(rows, this.#parts.arch.positionAxes);
    const kind = output === 'none' || output === 'hidden' ? output : 'columns';
    const shape = shapeOf(rows, vision?.splices ?? [], kind, nOutputsPerRow);
    if (this.#isKept(shape)) {
      const step = this.#keptSteps.get(shape);
      writeInputs(step, shape, rows, positions);
      return this.#compute(this.#decodeRunner, step, rows);
    }
    using step = this.#build(shape);
    step.allocate(this.#runner);
    writeInputs(step, shape, rows, positions);
    return this.#compute(this.#runner, step, rows);
  }

  #build(shape: StepShape): TextStep {
    const { arch, native, weights, caches } = this.#parts;
    return new TextStep(native, arch, { weight: (name) => weights.get(name), caches: caches.layers }, shape);
  }

  /** Whether it is no larger than what memory has been reserved for to keep: see `largestSteps`. */
  #isKept({ nTokens, rows, splices, nOutputs }: StepShape): boolean {
    if (splices.length > 0) return false;
    const { draftMax } = this.#parts;
    return nTokens === 1 || (rows.length === 1 && nTokens <= 2 * draftMax + 1 && nOutputs <= draftMax + 1);
  }

  /** Computes a step whose inputs are written, and has its sequences follow. */
  #compute(runner: GraphRunner, step: TextStep, rows: readonly SequenceRow[]): Float32Array {
    runner.compute(step.graph);
    const hidden = step.hidden?.read(new Float32Array(step.hidden.nElements)) ?? null;
    this.#hidden = hidden;
    const nHiddenPerRow = (hidden?.length ?? 0) / rows.length;
    rows.forEach(({ sequence, from, ids, place }, b) => {
      sequence.nPast = from + ids.length;
      sequence.behind = [];
      const end = ((place ?? b) + 1) * nHiddenPerRow;
      sequence.hidden = hidden?.slice(end - this.hiddenSize, end) ?? null;
    });
    return step.result === null ? new Float32Array(0) : this.#results.read(step.result);
  }

  [Symbol.dispose](): void {
    this.kept[Symbol.dispose]();
    this.#keptSteps[Symbol.dispose]();
    this.#encoder?.[Symbol.dispose]();
    this.#predictor?.[Symbol.dispose]();
    this.#runner[Symbol.dispose]();
    this.#decodeRunner[Symbol.dispose]();
    this.#parts.caches[Symbol.dispose]();
    this.#parts.weights[Symbol.dispose]();
  }
}

const ownSequence = (sequence: ModelSequence): Sequence => {
  if (sequence instanceof Sequence) return sequence;
  throw new TypeError('a sequence of another model');
};

const visionUnsupported = (modelId: string): CortexError =>
  new CortexError('vision_unsupported', `model ${modelId} has no vision tower: it cannot see images`, {
    facts: { model_id: modelId, suggestion: 'send the request without images, or to a model that sees' },
  });
