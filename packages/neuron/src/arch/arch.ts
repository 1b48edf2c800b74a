/**
 * What an architecture is to the rest of the engine. A new one is a folder here and a line in `registry.ts`: it reads
 * its config, declares its weights and caches, and builds its graphs; it owns no memory and knows no requests.
 */
import type { Context, Graph, Tensor } from '@cortex/ggml';
import type { GgufModel } from '../model-files/gguf-file.ts';
import type { Split, TensorNames, WeightSpec } from '../model/weight-spec.ts';

/** What one layer keeps of a sequence between steps. */
export type LayerCache =
  /** Keys and values, one row of `rowLength` a token: the heads of `headDim` side by side. */
  | { readonly kind: 'attention'; readonly rowLength: number; readonly headDim: number; readonly split: Split }
  /** A recurrent state of fixed size: the last inputs of the convolution and the delta rule's matrix, f32. */
  | {
      readonly kind: 'recurrent';
      readonly convLength: number;
      readonly stateLength: number;
      readonly convSplit: Split;
      readonly stateSplit: Split;
    };

export type LayerCacheTensors =
  /** [rowLength, nCells] each */
  | { readonly kind: 'attention'; readonly keys: Tensor; readonly values: Tensor }
  /** [convLength, nSlots], [stateLength, nSlots] */
  | { readonly kind: 'recurrent'; readonly conv: Tensor; readonly state: Tensor };

/** Where one sequence of a batch keeps its recurrent state. */
export interface BatchRow {
  /** Row of the recurrent caches. */
  readonly slot: number;
  /** Row that the state behind this step goes to: another where the step may have to be taken back. */
  readonly slotAfter: number;
}

/** Neighbours in a batch that attend in one operation: their parts of the KV cache begin at equal distances. */
export interface AttendedRows {
  readonly nRows: number;
  /** First cell of the first one's part. */
  readonly firstCell: number;
  /** Cells from the beginning of one part to that of the next. */
  readonly stride: number;
  /** Cells that each looks at, those of this step included. */
  readonly nCells: number;
  /** f16 [nCells, nTokens, 1, nRows]: 0 where a token may look, -inf elsewhere. */
  readonly mask: Tensor;
}

/** One step of several sequences with equally many tokens each; token i of sequence b is column b · nTokens + i. */
export interface TextBatch {
  readonly nTokens: number;
  readonly rows: readonly BatchRow[];
  /** The same sequences, in their order. */
  readonly attended: readonly AttendedRows[];
  /** i32 [n] */
  readonly ids: Tensor;
  /** i32 [n · positionAxes]; four axes lie as blocks t, h, w, – */
  readonly positions: Tensor;
  /** i64 [n]: the KV cell that each token writes. */
  readonly cells: Tensor;
  /** Image rows f32 [hidden, m] that replace the embeddings of columns i64 [m]. */
  readonly splices: readonly { readonly rows: Tensor; readonly columns: Tensor }[];
  /** i32 [m]: columns whose final hidden state is wanted; null for all, 'none' for none. */
  readonly outputs: Tensor | null | 'none';
  /** f32 [hidden, rows]: the final hidden state of the token before each sequence's first; null without a predictor. */
  readonly before: Tensor | null;
}

/** What a graph is built with. */
export interface GraphBuild {
  readonly ctx: Context;
  readonly graph: Graph;
  weight(name: string): Tensor;
  readonly caches: readonly LayerCacheTensors[];
}

/** A loaded config: everything about one model that its graphs need. */
export interface ArchModel {
  readonly hiddenSize: number;
  /** Rows of the embedding, padding included. */
  readonly nVocab: number;
  readonly contextMax: number;
  readonly positionAxes: 1 | 4;
  /** With a predictor, its own comes last. */
  readonly caches: readonly LayerCache[];
  readonly weights: readonly WeightSpec[];
  /** Most values of one token that the devices of a group add up at once. */
  readonly summedLength: number;
  /** Upper bound of tensors made by `buildText` for a batch of one sequence; each further one adds `nTensorsPerRow`. */
  readonly nTensorsMax: number;
  readonly nTensorsPerRow: number;
  /** The final hidden states [hidden, outputs], normed; null when no output is wanted. Cache writes are expanded into the graph. */
  buildText(build: GraphBuild, batch: TextBatch): Tensor | null;
  /** [nVocab, outputs] */
  buildHead(build: GraphBuild, hidden: Tensor): Tensor;
  readonly predictor: Predictor | null;
  readonly vision: VisionTower | null;
}

/**
 * A layer of the checkpoint that foretells: from a token and the final hidden state of the one before, the final hidden
 * state of that token (multi-token prediction). Its cache has a row a token like those of other layers; `buildText`
 * writes it where it is told what came `before`.
 */
export interface Predictor {
  readonly weights: readonly WeightSpec[];
  readonly cache: LayerCache;
  readonly nTensorsMax: number;
  /** One token of one sequence, `batch.before` given → [hidden, 1], for `buildHead` and as `before` of the next. */
  buildNext(build: GraphBuild, batch: TextBatch): Tensor;
}

export interface TowerGrid {
  /** In patches, both even. */
  readonly h: number;
  readonly w: number;
}

export interface TowerInputs {
  /** f32 [channels · patchSize², nPatches], rows in merge-block order. */
  readonly patches: Tensor;
  /** f32 [towerHidden, nPatches]: the position table resampled to this grid, same order. */
  readonly positionEmbeds: Tensor;
  /** i32 [4 · nPatches]: blocks h, w, h, w. */
  readonly positions: Tensor;
}

export interface VisionTower {
  readonly imageTokenId: number;
  /** Values of one patch row. */
  readonly patchLength: number;
  readonly hiddenSize: number;
  /** Patches on a side of the square that becomes one token. */
  readonly mergeSize: number;
  /** Side of the square position table. */
  readonly positionSide: number;
  readonly weights: readonly WeightSpec[];
  /** Name of the position table among `weights`: it is read on the host. */
  readonly positionTable: WeightSpec;
  readonly nTensorsMax: number;
  /** [language model's hidden, nPatches / mergeSize²] */
  buildTower(build: Pick<GraphBuild, 'ctx' | 'weight'>, inputs: TowerInputs): Tensor;
}

export interface Arch {
  /** `model_type` values of config.json that mean this architecture; the first for the language model in GGUF files. */
  readonly modelTypes: readonly string[];
  readonly gguf: {
    /** `general.architecture` of GGUF files that mean this architecture. */
    readonly architecture: string;
    /** The keys as `config.json` would have them, but for `model_type`; judged by `configure`. */
    configOf(model: GgufModel): Readonly<Record<string, unknown>>;
  };
  /** @throws BadConfig, CortexError `model_load_failed` for tensors that are missing. */
  configure(config: unknown, names: TensorNames): ArchModel;
}
