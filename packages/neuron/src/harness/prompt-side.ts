/**
 * A model's half on this side of the device: tokenizer and template on their own thread, image preprocessing, sampling
 * defaults and the ids with a role. Needs no weights, so a prompt can be counted before its model is loaded.
 */
import { z } from 'zod';
import { samplingDefaults, type SamplingDefaults } from '../chat/generation-config.ts';
import { CALL_OPEN } from '../chat/tool-call-format.ts';
import { PromptThread } from '../chat/prompt-thread.ts';
import { readModelConfig } from '../model/model-config.ts';
import { eosIds } from '../tokenizer/eos-ids.ts';
import { readModelJson } from '../model-files/model-json.ts';
import { readTokenizerConfig } from '../tokenizer/tokenizer-files.ts';
import type { Vocabulary } from '../tokenizer/vocabulary.ts';
import type { VisionMeta } from '../vision/vision-meta.ts';
import { readVisionMeta } from './read-vision-meta.ts';

export interface PromptSide {
  readonly modelId: string;
  readonly thread: PromptThread;
  /** Null for a model without a vision tower. */
  readonly vision: VisionMeta | null;
  readonly defaults: SamplingDefaults;
  readonly eosIds: readonly number[];
  /** Placeholders and brackets of images: they mean something in a prompt only, and are never sampled. */
  readonly bannedIds: readonly number[];
  /** What opens the reasoning and what ends it, as the model writes them, and what opens a call. */
  readonly thinkStartIds: readonly number[];
  readonly thinkEndIds: readonly number[];
  readonly callStartIds: readonly number[];
  /** Ends its thread; what it still works on is answered `overloaded`. */
  close(): Promise<void>;
}

/** @throws CortexError `model_load_failed` naming the file that cannot be used. */
export interface PromptSideOptions {
  /** The operator's limit on an image's resized area in pixels; the checkpoint's own where it is lower. */
  readonly resizedPixelsMax?: number;
}

export type PromptSideLoader = (dir: string, modelId: string, options?: PromptSideOptions) => Promise<PromptSide>;

const anyJson = z.unknown();

/** The names under which tokenizers hold them, for models whose `config.json` leaves them out. */
const visionTokens = ['<|vision_start|>', '<|vision_end|>', '<|vision_pad|>', '<|image_pad|>', '<|video_pad|>'];

const bannedIdsOf = (vocabulary: Vocabulary, vision: VisionMeta | null, eos: readonly number[]): readonly number[] => {
  const ids = [
    vision?.imageTokenId,
    vision?.videoTokenId,
    vision?.visionStartTokenId,
    vision?.visionEndTokenId,
    ...visionTokens.map((name) => vocabulary.idOf(name)),
  ];
  const known = ids.filter((id) => typeof id === 'number').filter((id) => !eos.includes(id));
  return [...new Set(known)].toSorted((a, b) => a - b);
};

export const loadPromptSide: PromptSideLoader = async (dir, modelId, { resizedPixelsMax } = {}) => {
  const [config, generationConfig, tokenizerConfig] = await Promise.all([
    readModelConfig(dir),
    readModelJson(anyJson, dir, 'generation_config.json'),
    readTokenizerConfig(dir),
  ]);
  const vision = await readVisionMeta(dir, config, resizedPixelsMax);
  const defaults = samplingDefaults(generationConfig);
  const thread = await PromptThread.load({ dir, name: `prompt ${modelId}` });
  try {
    const { vocabulary } = thread;
    const eos = eosIds({ generationConfig, config, tokenizerConfig }, vocabulary);
    const bannedIds = bannedIdsOf(vocabulary, vision, eos);
    const idsOf = async (mark: string): Promise<readonly number[]> => [
      ...(await thread.encode(mark, { parseSpecial: true, addSpecial: false })),
    ];
    const marks = {
      thinkStartIds: await idsOf('<think>'),
      thinkEndIds: await idsOf('</think>'),
      callStartIds: await idsOf(CALL_OPEN),
    };
    return { modelId, thread, vision, defaults, eosIds: eos, bannedIds, ...marks, close: () => thread.close() };
  } catch (error) {
    await thread.close();
    throw error;
  }
};
