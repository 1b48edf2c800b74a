/**
 * The part of node-llama-cpp 3.22.1 that the tests use: its addon, below its queue and its samplers, so that what is
 * measured is llama.cpp. Declared here because the package is not a dependency of the workspace (see `tools/peers`).
 */
import { existsSync } from 'node:fs';

const entry = new URL('../../../../tools/peers/node_modules/node-llama-cpp/dist/index.js', import.meta.url);

/** How to get it. */
export const howToInstall = 'npm ci --prefix tools/peers';

export const isInstalled = (): boolean => existsSync(entry);

export interface LlamaSampler {
  applyConfig(config: { readonly temperature: number }): void;
  dispose(): void;
}

export interface LlamaContext {
  /** False when there is no memory. */
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  initBatch(size: number): void;
  /** Which of `tokens` shall have logits: `logitIndexes`. Returns their places in the batch. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(place: number, sampler: LlamaSampler): Promise<number>;
  /** With `allLogits`, pairs of token and logit one after the other, in the fourth place. */
  sampleToken(
    place: number,
    sampler: LlamaSampler,
    probabilities: false,
    confidence: false,
    allLogits: true,
  ): Promise<readonly [number, unknown, unknown, readonly number[]]>;
  disposeSequence(sequence: number): void;
}

export interface LlamaModel {
  tokenize(text: string, parseSpecial: boolean): Uint32Array;
}

export interface LlamaContextParams {
  /** Tokens of all sequences together. */
  readonly contextSize: number;
  readonly sequences: number;
  readonly threads: number;
  readonly batchSize: number;
  readonly flashAttention: boolean;
  /** ggml's numbers of types. */
  readonly kvCacheKeyType: number;
  readonly kvCacheValueType: number;
}

export interface Llama {
  readonly _bindings: {
    readonly AddonSampler: new (model: LlamaModel) => LlamaSampler;
    readonly AddonContext: new (model: LlamaModel, params: LlamaContextParams) => LlamaContext;
  };
  loadModel(options: { readonly modelPath: string }): Promise<{
    readonly _model: LlamaModel;
    dispose(): Promise<void>;
  }>;
}

interface LlamaPackage {
  getLlama(options: {
    readonly gpu: false;
    readonly build: 'never';
    readonly skipDownload: true;
    readonly logLevel: 'error';
  }): Promise<Llama>;
}

/** The CPU build for this platform, found in the root's node_modules. */
export const loadLlama = async (): Promise<Llama> => {
  const { getLlama } = (await import(entry.href)) as LlamaPackage;
  return getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
};
