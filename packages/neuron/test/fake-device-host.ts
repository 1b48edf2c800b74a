/**
 * A device without hardware, for tests: a module whose `openDevice` the device worker can import. A model's `dir` is
 * its programme as JSON (see `FakeModelPlan`); its logits follow from the last token alone, so every answer is known.
 */
import { CortexError } from '@cortex/core';
import type {
  DeviceHost,
  DeviceModel,
  ForwardOutput,
  HostCells,
  ImageEmbeds,
  ImageEncoding,
  ImageInput,
  KeptPrefixes,
  ModelOptions,
  ModelSequence,
  OpenDevice,
  ParkedCells,
  SavedState,
} from '../src/model/device-model.ts';
import type { GenerateSpec, LoadSpec } from '../src/device/protocol.ts';
import { exhausted } from '../src/sampling/grammar/exhausted.ts';
import { byteVocabulary } from './grammar/toy-vocabulary.ts';

export interface FakeModelPlan {
  readonly contextMax: number;
  readonly kvTokens: number;
  readonly nSlots: number;
  readonly hasVision: boolean;
  /** Pieces in which an image goes through the tower. */
  readonly imagePieces: number;
  /** Bytes of a recurrent state; 0: none. */
  readonly stateBytes: number;
  /** Each forward or decode blocks the thread this long. */
  readonly stepMs: number;
  readonly loadMs: number;
  /** Computing this token fails in the way named. */
  readonly failures: Readonly<Record<number, 'throw' | 'nan' | 'hang' | 'exit' | 'assert'>>;
  /** What follows a token; otherwise the next id. */
  readonly after: Readonly<Record<number, number>>;
  /** How many tokens ahead its predictor is right; null: it has none. */
  readonly foresees: number | null;
}

const defaultPlan: FakeModelPlan = {
  contextMax: 64,
  kvTokens: 256,
  nSlots: 4,
  hasVision: true,
  imagePieces: 1,
  stateBytes: 0,
  stepMs: 0,
  loadMs: 0,
  failures: {},
  after: {},
  foresees: null,
};

/** The tower makes a token too many of an image with this hash. */
export const oddImage = 'odd';
const hidden = 2;
const imageTokenId = 255;
/** The toy vocabulary's end, and a few padding rows after it. */
const nLogits = 260;
export const fakeEosId = 256;
export const fakeImageTokenId = imageTokenId;

const block = (ms: number): void => {
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

class FakeSequence implements ModelSequence {
  /** The tokens that its cells are of. */
  ids: number[] = [];
  /** Those that they were of before it was reopened in them. */
  formerIds: readonly number[] = [];
  readonly nTokensMax: number;
  readonly #onDispose: () => void;

  constructor(nTokensMax: number, onDispose: () => void) {
    this.nTokensMax = nTokensMax;
    this.#onDispose = onDispose;
  }

  get nPast(): number {
    return this.ids.length;
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
}

/** Tokens that are kept somewhere, so that a test sees what a sequence was given as its past. */
class FakeKept implements ParkedCells, HostCells, SavedState {
  readonly ids: readonly number[];
  readonly nBytes: number;
  readonly #onDispose: () => void;

  constructor(ids: readonly number[], nBytes: number, onDispose: () => void) {
    this.ids = ids;
    this.nBytes = nBytes;
    this.#onDispose = onDispose;
  }

  get nTokens(): number {
    return this.ids.length;
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
}

/** Parked cells take room as sequences do, but may lie anywhere. */
class FakePrefixes implements KeptPrefixes {
  readonly stateBytes: number;
  readonly parked = new Set<FakeKept>();
  /** Whether the host has no memory. */
  isHostFull = false;
  /** Copies on the host that are not disposed of. */
  readonly onHost = new Set<FakeKept>();
  readonly #model: FakeModel;

  constructor(model: FakeModel, stateBytes: number) {
    this.#model = model;
    this.stateBytes = stateBytes;
  }

  hostBytes(nTokens: number): number {
    return nTokens;
  }

  park(sequence: ModelSequence): ParkedCells {
    const { ids } = fakeSequence(sequence);
    sequence[Symbol.dispose]();
    const kept = new FakeKept(ids, ids.length, () => this.parked.delete(kept));
    this.parked.add(kept);
    return kept;
  }

  reopen(cells: ParkedCells, nTokensMax: number): ModelSequence | null {
    const kept = cells as FakeKept;
    if (!this.parked.delete(kept)) throw new Error('the cells are not parked');
    const sequence = this.#model.open(nTokensMax);
    if (sequence === null) {
      this.parked.add(kept);
      return null;
    }
    fakeSequence(sequence).formerIds = kept.ids;
    this.#model.calls.push('reopen');
    return sequence;
  }

  victims(nTokensMax: number, candidates: readonly ParkedCells[], cells?: ParkedCells): readonly ParkedCells[] | null {
    if (this.#model.sequences.size >= this.#model.nSlots) return null;
    const victims: ParkedCells[] = [];
    let { nFree } = this.#model;
    if (cells !== undefined) nFree += cells.nTokens;
    for (const candidate of candidates) {
      if (nFree >= nTokensMax) break;
      victims.push(candidate);
      nFree += candidate.nTokens;
    }
    return nFree >= nTokensMax ? victims : null;
  }

  saveState(sequence: ModelSequence): SavedState | null {
    if (this.isHostFull) return null;
    return this.#keep(fakeSequence(sequence).ids, this.stateBytes);
  }

  toHost(cells: ParkedCells): HostCells | null {
    if (!this.parked.has(cells as FakeKept)) throw new Error('the cells are not parked');
    if (this.isHostFull) return null;
    return this.#keep((cells as FakeKept).ids, cells.nTokens);
  }

  resume(sequence: ModelSequence, { nTokens, cells, state }: Parameters<KeptPrefixes['resume']>[1]): void {
    const own = fakeSequence(sequence);
    if (own.nPast >= nTokens) throw new Error('the sequence has a past already');
    const from = cells instanceof FakeKept || cells instanceof FakeSequence ? cells.ids : own.formerIds;
    if (from.length < nTokens) throw new Error('the past is not that long');
    own.ids = from.slice(0, nTokens);
    if (this.stateBytes > 0 && String((state as FakeKept | null)?.ids) !== String(own.ids)) {
      throw new Error('the state is of other tokens');
    }
    this.#model.calls.push(`resume ${nTokens}`);
  }

  #keep(ids: readonly number[], nBytes: number): FakeKept {
    const kept = new FakeKept([...ids], nBytes, () => this.onHost.delete(kept));
    this.onHost.add(kept);
    return kept;
  }
}

const fakeSequence = (sequence: ModelSequence): FakeSequence => {
  if (sequence instanceof FakeSequence) return sequence;
  throw new TypeError('a sequence of another model');
};

export class FakeModel implements DeviceModel {
  readonly parts = [];
  readonly memberBytes = [];
  readonly finer = [];
  readonly contextMax: number;
  readonly kvTokens: number;
  readonly nSlots: number;
  readonly nLogits = nLogits;
  readonly hiddenSize = hidden;
  readonly bytes = 1000;
  readonly hasVision: boolean;
  readonly imageTokenId: number | null;
  /** Calls in order, such as `forward 0+8 last` and `decode 3`. */
  readonly calls: string[] = [];
  readonly sequences = new Set<FakeSequence>();
  readonly kept: FakePrefixes;
  nEmbeds = 0;
  isDisposed = false;
  readonly #plan: FakeModelPlan;
  readonly #results = new Float32Array(256 * nLogits);
  readonly #failAssert: () => void;

  constructor(plan: FakeModelPlan, failAssert: () => void) {
    this.#plan = plan;
    this.#failAssert = failAssert;
    this.contextMax = plan.contextMax;
    this.kvTokens = plan.kvTokens;
    this.nSlots = plan.nSlots;
    this.hasVision = plan.hasVision;
    this.imageTokenId = plan.hasVision ? imageTokenId : null;
    this.kept = new FakePrefixes(this, plan.stateBytes);
  }

  get nFree(): number {
    const held = [...this.sequences].map(({ nTokensMax }) => nTokensMax);
    const parked = [...this.kept.parked].map(({ nTokens }) => nTokens);
    return [...held, ...parked].reduce((n, taken) => n - taken, this.kvTokens);
  }

  open(nTokensMax: number): ModelSequence | null {
    if (this.sequences.size >= this.nSlots || nTokensMax > this.nFree) return null;
    const sequence = new FakeSequence(nTokensMax, () => this.sequences.delete(sequence));
    this.sequences.add(sequence);
    return sequence;
  }

  encodeImage(image: ImageInput): ImageEmbeds {
    const embeds = this.beginImage(image).advance(Infinity);
    if (embeds === null) throw new Error('an image of no pieces');
    return embeds;
  }

  beginImage(image: ImageInput): ImageEncoding {
    if (!this.hasVision) throw new CortexError('vision_unsupported', 'the fake model has no tower');
    let nLeft = this.#plan.imagePieces;
    let isHeld = true;
    this.nEmbeds += 1;
    const free = (): void => {
      if (isHeld) this.nEmbeds -= 1;
      isHeld = false;
    };
    const embeds = {
      nTokens: image.nTokens + (image.contentHash === oddImage ? 1 : 0),
      read: () => new Float32Array(image.nTokens * hidden).fill(7),
      [Symbol.dispose]: free,
    };
    const advance = (ms: number): ImageEmbeds | null => {
      this.calls.push(`encode ${image.contentHash}`);
      block(this.#plan.stepMs);
      nLeft = ms === Infinity ? 0 : nLeft - 1;
      return nLeft === 0 ? embeds : null;
    };
    return { advance, [Symbol.dispose]: free };
  }

  forward(sequence: ModelSequence, ids: Int32Array, offset: number, output: ForwardOutput): Float32Array {
    this.calls.push(`forward ${offset}+${ids.length} ${output}`);
    if (!(sequence instanceof FakeSequence) || !this.sequences.has(sequence))
      throw new Error('the sequence is not open');
    if (sequence.nPast !== offset) throw new Error(`forward at ${offset}, but ${sequence.nPast} tokens are there`);
    if (offset + ids.length > sequence.nTokensMax) throw new Error('more tokens than were reserved');
    block(this.#plan.stepMs);
    sequence.ids.push(...ids);
    const rows = [...ids].map((id) => this.#row(id));
    switch (output) {
      case 'none':
        return new Float32Array(0);
      case 'hidden':
        return this.#result([new Float32Array(hidden).fill(ids.at(-1) ?? 0)]);
      case 'last':
        return this.#result(rows.slice(-1));
      case 'all':
        return this.#result(rows);
      default:
        return exhausted(output);
    }
  }

  forwardWithVision(
    ...[sequence, ids, offset, prompt, , output]: Parameters<DeviceModel['forwardWithVision']>
  ): Float32Array {
    const nNeeded = prompt.embeds.filter((embeds) => 'read' in embeds).length;
    if (nNeeded !== this.nEmbeds) throw new Error('the images are not all on the device');
    return this.forward(sequence, ids, offset, output);
  }

  #draft: { readonly sequence: FakeSequence; readonly ids: Int32Array; readonly nPast: number } | null = null;

  draft(sequence: ModelSequence, ids: Int32Array): Float32Array {
    this.calls.push(`draft ${ids.length}`);
    const own = fakeSequence(sequence);
    if (own.nPast + ids.length > own.nTokensMax) throw new Error('more tokens than were reserved');
    block(this.#plan.stepMs);
    this.#draft = { sequence: own, ids, nPast: own.nPast };
    return this.#result(Array.from(ids, (id) => this.#row(id)));
  }

  get canGuess(): boolean {
    return this.#plan.foresees !== null;
  }

  guess(sequence: ModelSequence, id: number, nMax: number): Int32Array {
    this.calls.push(`guess ${nMax}`);
    if (fakeSequence(sequence).nPast + nMax >= sequence.nTokensMax) throw new Error('guesses beyond the room');
    let last = id;
    return Int32Array.from({ length: nMax }, (_, i) => {
      last = this.#plan.after[last] ?? last + 1;
      return i < (this.#plan.foresees ?? 0) ? last : 0;
    });
  }

  keep(sequence: ModelSequence, n: number): void {
    const draft = this.#draft;
    if (draft?.sequence !== sequence) throw new Error('nothing was drafted for this sequence');
    draft.sequence.ids.splice(draft.nPast, Infinity, ...draft.ids.slice(0, n));
  }

  decode(rows: readonly { readonly sequence: ModelSequence; readonly id: number }[]): Float32Array {
    this.calls.push(`decode ${rows.length}`);
    block(this.#plan.stepMs);
    const logits = rows.map(({ sequence, id }) => {
      if (!(sequence instanceof FakeSequence) || !this.sequences.has(sequence))
        throw new Error('the sequence is not open');
      sequence.ids.push(id);
      if (sequence.nPast > sequence.nTokensMax) throw new Error('more tokens than were reserved');
      return this.#row(id);
    });
    return this.#result(logits);
  }

  /** Over those of the call before. */
  #result(rows: readonly Float32Array[]): Float32Array {
    const [first] = rows;
    const length = first?.length ?? 0;
    rows.forEach((row, i) => this.#results.set(row, i * length));
    return this.#results.subarray(0, rows.length * length);
  }

  #row(id: number): Float32Array {
    const logits = new Float32Array(nLogits);
    switch (this.#plan.failures[id]) {
      case 'throw':
        throw new Error(`token ${id} fails`);
      case 'hang':
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        break;
      case 'exit':
        process.exit(3);
        break;
      case 'assert':
        this.#failAssert();
        break;
      case 'nan':
        return logits.fill(Number.NaN);
      case undefined:
    }
    logits[this.#plan.after[id] ?? id + 1] = 10;
    return logits;
  }

  [Symbol.dispose](): void {
    this.isDisposed = true;
  }
}

/** A device whose models a test in the same thread can look into. */
export class FakeHost implements DeviceHost {
  readonly models = new Map<string, FakeModel>();
  isDisposed = false;
  readonly #failAssert: () => void;

  /** `failAssert` fails in native code and does not return. */
  constructor(failAssert: () => void = () => {}) {
    this.#failAssert = failAssert;
  }

  memory(): { readonly freeBytes: number; readonly totalBytes: number } {
    return { freeBytes: 500, totalBytes: 1000 };
  }

  async loadModel({ modelId, dir }: ModelOptions, onProgress: Parameters<DeviceHost['loadModel']>[1]) {
    const plan: FakeModelPlan = { ...defaultPlan, ...(JSON.parse(dir) as Partial<FakeModelPlan>) };
    onProgress({ fraction: 0.5, phase: 'weights' });
    await new Promise((resolve) => setTimeout(resolve, plan.loadMs));
    const model = new FakeModel(plan, this.#failAssert);
    this.models.set(modelId, model);
    return model;
  }

  [Symbol.dispose](): void {
    this.isDisposed = true;
  }
}

export const openDevice: OpenDevice = ({ index }) => {
  if (index < 0) throw new CortexError('model_load_failed', 'there is no such device');
  return new FakeHost();
};

export const fakeLoadSpec = (
  modelId: string,
  plan: Partial<FakeModelPlan> = {},
  {
    chunkMax = 8,
    prefixHostBytesMax = null,
    draftMax = 0,
  }: Partial<Pick<LoadSpec, 'chunkMax' | 'prefixHostBytesMax' | 'draftMax'>> = {},
): LoadSpec => ({
  modelId,
  dir: JSON.stringify(plan),
  weightType: 'auto',
  kvCacheType: 'auto',
  contextMax: null,
  kvTokens: null,
  nSlots: 4,
  chunkMax,
  vocabulary: { ...byteVocabulary().table, added: new Map() },
  trie: null,
  bannedIds: [imageTokenId],
  prefixHostBytesMax,
  prefillStepMs: 1000,
  draftMax,
});

export const fakeImage = (contentHash: string, nTokens = 2): ImageInput => ({
  grid: { h: 2, w: 2 },
  nTokens,
  patches: new Float32Array(4),
  contentHash,
});

export const greedy = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  seed: 1,
} as const;

/** Greedy after `promptIds`: the answer counts up from the last of them. */
export const fakeGenerateSpec = (
  modelId: string,
  promptIds: readonly number[],
  spec: Partial<Omit<GenerateSpec, 'promptIds'>> = {},
): GenerateSpec => ({
  modelId,
  caller: { client: 'somebody', priority: 0 },
  promptIds: Int32Array.from(promptIds),
  vision: null,
  choices: [{ sampling: greedy }],
  constraint: null,
  eosIds: [fakeEosId],
  tokensMax: 4,
  nTopLogprobs: null,
  ...spec,
});
