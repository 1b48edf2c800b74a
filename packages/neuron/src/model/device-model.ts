/**
 * What the run loop knows of a device and of a model loaded on it. Everything here lives in the device's own worker
 * thread: handles never leave it, and every call blocks that thread until the device has done its work.
 */
import type { FinerWeights } from './weight-plan.ts';
import type { MropePositions } from '../vision/mrope-positions.ts';
import type { WeightType } from './weight-types.ts';

/** An image ready for the tower: see `PreparedImage`. */
export interface ImageInput {
  /** In patches. */
  readonly grid: { readonly h: number; readonly w: number };
  readonly nTokens: number;
  /** [grid.h · grid.w, channels · patchSize²] */
  readonly patches: Float32Array;
  readonly contentHash: string;
}

/** An encoded image: `nTokens` rows of the language model's width, on the device until disposed. */
export interface ImageEmbeds extends Disposable {
  readonly nTokens: number;
  /** A copy on the host, [nTokens, hidden], for comparison with a reference. */
  read(): Float32Array;
}

/** An image on its way through the tower. What it holds on the device is freed once it is whole, or disposed before. */
export interface ImageEncoding extends Disposable {
  /** Computes on for about `ms`, and no less than some. The rows once all is computed, which are then the caller's. */
  advance(ms: number): ImageEmbeds | null;
}

/** The images of one prompt: their rows replace the image pads of `ids`, in order. */
export interface VisionPrompt {
  /** The whole prompt, pads expanded. */
  readonly ids: Int32Array;
  readonly positions: MropePositions;
  /** Those of images whose pads are all computed already may be counts alone. */
  readonly embeds: readonly (ImageEmbeds | Pick<ImageEmbeds, 'nTokens'>)[];
}

/** One sequence's room on the device: its KV cells and its recurrent state. */
export interface ModelSequence extends Disposable {
  /** Tokens (prompt and answer) that it may hold. */
  readonly nTokensMax: number;
  /** Tokens computed so far; the next forward must begin here. */
  readonly nPast: number;
}

/** KV cells of a closed sequence that stay on the device until disposed. */
export interface ParkedCells extends Disposable {
  readonly nTokens: number;
}

/** The same on the host. */
export interface HostCells extends Disposable {
  readonly nTokens: number;
  readonly nBytes: number;
}

/** A sequence's recurrent state behind its first `nTokens` tokens, on the host. */
export interface SavedState extends Disposable {
  readonly nTokens: number;
  readonly nBytes: number;
}

/** What sequences leave for others that begin with the same tokens. Who compares the tokens is the caller. */
export interface KeptPrefixes {
  /** Host memory of one saved state; 0 for a model without recurrence, whose past can be cut at any token. */
  readonly stateBytes: number;
  /** Host memory of `nTokens` cells. */
  hostBytes(nTokens: number): number;
  /** Closes the sequence but for its computed cells. */
  park(sequence: ModelSequence): ParkedCells;
  /** A new sequence in the very cells, its past empty; they are used up. Null when it cannot be: then they stay. */
  reopen(cells: ParkedCells, nTokensMax: number): ModelSequence | null;
  /**
   * Which of `candidates`, the least wanted first, must be disposed of for `open(nTokensMax)` to succeed, or, with
   * `cells`, `reopen(cells, nTokensMax)`. Null: not even all of them.
   */
  victims(nTokensMax: number, candidates: readonly ParkedCells[], cells?: ParkedCells): readonly ParkedCells[] | null;
  /** Null where the host has no memory for it. */
  saveState(sequence: ModelSequence): SavedState | null;
  /** Null where the host has no memory for them. */
  toHost(cells: ParkedCells): HostCells | null;
  /**
   * Gives a sequence that has fewer the first `nTokens` of another as its past: cells copied from where they are (null: it was
   * reopened in them), and the state, which a recurrent model needs and which must be of as many tokens.
   */
  resume(
    sequence: ModelSequence,
    past: {
      readonly nTokens: number;
      readonly cells: ModelSequence | ParkedCells | HostCells | null;
      readonly state: SavedState | null;
    },
  ): void;
}

/** Which rows come back: none, the last token's logits, every token's logits, or the last token's final hidden state. */
export type ForwardOutput = 'none' | 'last' | 'all' | 'hidden';

/** What one device has of a model whose layers are on several. */
export interface ModelPart {
  /** ggml's name of the device, such as `Vulkan0` or `CPU`. */
  readonly name: string;
  /** Place among the devices that the thread was started for; null: the host. */
  readonly member: number | null;
  readonly nLayers: number;
  /** Bytes of its memory: weights, caches, compute buffers. */
  readonly nBytes: number;
}

export interface DeviceModel extends Disposable {
  /** Tokens one sequence may hold at most. */
  readonly contextMax: number;
  /** Tokens all sequences together may hold. */
  readonly kvTokens: number;
  /** Sequences at once. */
  readonly nSlots: number;
  /** Columns of a row of logits (the embedding's rows, padding included). */
  readonly nLogits: number;
  readonly hiddenSize: number;
  /** Device memory in bytes that it holds: weights, caches, compute buffers. */
  readonly bytes: number;
  /** Of each of several devices that share it or have layers of it, the host last; empty on a single one. */
  readonly memberBytes: readonly number[];
  /** What each device of a spread has of it; empty otherwise. */
  readonly parts: readonly ModelPart[];
  /** Weights that could not have the type asked for. */
  readonly finer: readonly FinerWeights[];
  readonly hasVision: boolean;
  /** Placeholder id that image rows replace; null without a tower. */
  readonly imageTokenId: number | null;

  readonly kept: KeptPrefixes;

  /** Room for a new sequence, its state cleared; null when there is none now. */
  open(nTokensMax: number): ModelSequence | null;
  /** @throws CortexError `vision_unsupported` naming the model when it has no tower. */
  encodeImage(image: ImageInput): ImageEmbeds;
  /** The same in steps. One at a time is under way: one begun before is first computed to its end. */
  beginImage(image: ImageInput): ImageEncoding;
  /**
   * Computes `inputIds` at positions offset, offset + 1, … Returns [rows, nLogits] or, for 'hidden', [hiddenSize]. What this,
   * `draft` and `decode` return is the caller's to change, and valid until the next of these calls: it is read into the
   * same memory.
   */
  forward(sequence: ModelSequence, inputIds: Int32Array, offset: number, output: ForwardOutput): Float32Array;
  /** The same for a chunk of a prompt with images; text-only chunks of such a prompt go through here too. */
  forwardWithVision(
    sequence: ModelSequence,
    inputIds: Int32Array,
    offset: number,
    prompt: VisionPrompt,
    imageTokenId: number,
    output: ForwardOutput,
  ): Float32Array;
  /**
   * Computes tokens that may turn out not to follow: the sequence stays where it is until `keep`. Returns the logits
   * behind each of them, [ids.length, nLogits]. @throws Error on a model loaded for no drafts.
   */
  draft(sequence: ModelSequence, ids: Int32Array): Float32Array;
  /** After `draft`, and before anything else with the sequence: the first `n` of its tokens follow. May be raised. */
  keep(sequence: ModelSequence, n: number): void;
  /** Whether the checkpoint has a further head to guess with. */
  readonly canGuess: boolean;
  /** Up to `nMax` tokens that may follow `id`, which follows the past: by the checkpoint's further head. Often none. */
  guess(sequence: ModelSequence, id: number, nMax: number): Int32Array;
  /** One token for each of several sequences in one pass. Returns [rows.length, nLogits]. */
  decode(rows: readonly { readonly sequence: ModelSequence; readonly id: number }[]): Float32Array;
}

export interface ModelOptions {
  /** For messages. */
  readonly modelId: string;
  /** Folder of the checkpoint. */
  readonly dir: string;
  /** Type of the weight matrices: `auto` keeps the checkpoint's where the device computes it well. */
  readonly weightType: WeightType;
  readonly kvCacheType: 'auto' | 'f16' | 'f32' | 'q8_0';
  /** Upper bound on one sequence; the model's own limit otherwise. */
  readonly contextMax: number | null;
  readonly kvTokens: number | null;
  readonly nSlots: number;
  /** Largest chunk that `forward` will be given. */
  readonly chunkMax: number;
  /** Most guesses that `draft` will be given behind a token that is known; none by default. */
  readonly draftMax?: number;
  /** What the model may take of each device at most, in the order that the thread was started for; by default all that is free. */
  readonly roomBytes?: readonly number[];
  /** Patches of the largest image that `encodeImage` will be given: memory for it is kept free. None by default. */
  readonly patchesMax?: number;
}

export interface LoadProgress {
  /** 0..1 */
  readonly fraction: number;
  readonly phase: string;
}

export interface DeviceMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** What this process holds of native memory on the device's thread; absent where that cannot be told. */
  readonly held?: { readonly nHandles: number; readonly nBytes: number };
}

/** An opened device: the only way to models on it. */
export interface DeviceHost extends Disposable {
  memory(): DeviceMemory;
  /** Yields between tensors so that the thread can serve other jobs. @throws CortexError `model_load_failed`, `insufficient_vram`. */
  loadModel(options: ModelOptions, onProgress: (progress: LoadProgress) => void): Promise<DeviceModel>;
}

export interface DeviceHostOptions {
  /** Index in ggml's registry. */
  readonly index: number;
  /** Those of the devices that share every model with it. */
  readonly others?: readonly number[];
  /**
   * What they share a model by: each has a part of every layer (`tensors`, the default), or layers of its own, the host
   * those that are left (`layers`; then there may be no others).
   */
  readonly sharing?: 'tensors' | 'layers';
  /** CPU threads for the device's computation. */
  readonly threads: number;
}

/** What a host module exports as `openDevice`; the device worker imports it by URL. */
export type OpenDevice = (options: DeviceHostOptions) => DeviceHost;
