/**
 * What a GGUF file says in its keys, in the form of the small files of a Hugging Face folder, so that whoever reads
 * those reads a GGUF file alike. `config.json` is not among them: its keys are each architecture's own.
 */
import type { GgufMetadata } from './gguf-metadata.ts';
import { tokenizerOfGguf } from './gguf-tokenizer.ts';
import { readGgufModel, type GgufModel } from './gguf-file.ts';

const tokensKey = 'tokenizer.ggml.tokens';

const tokenNamed = (metadata: GgufMetadata, key: string): string | null => {
  const id = metadata.number(`tokenizer.ggml.${key}`);
  return id === null ? null : metadata.textAt(tokensKey, id);
};

const chatTemplates = (metadata: GgufMetadata): unknown => {
  const text = metadata.text('tokenizer.chat_template');
  const toolText = metadata.text('tokenizer.chat_template.tool_use');
  if (text === null || toolText === null) return text;
  return [
    { name: 'default', template: text },
    { name: 'tool_use', template: toolText },
  ];
};

const tokenizerConfig = (metadata: GgufMetadata): unknown => ({
  eos_token: tokenNamed(metadata, 'eos_token_id'),
  bos_token: tokenNamed(metadata, 'bos_token_id'),
  pad_token: tokenNamed(metadata, 'padding_token_id'),
  chat_template: chatTemplates(metadata),
});

/** The format has room for one id that ends a turn; these end it by their name, where a vocabulary has them. */
const endTokens = ['<|im_end|>', '<|endoftext|>'];

const generationConfig = (metadata: GgufMetadata): unknown => {
  const keyed = ['eos_token_id', 'eot_token_id', 'eom_token_id'].map((key) => metadata.number(`tokenizer.ggml.${key}`));
  const named = endTokens.map((token) => metadata.indexOfText(tokensKey, token)).filter((id) => id >= 0);
  const sampling = (name: string): number | null => metadata.number(`general.sampling.${name}`);
  return {
    eos_token_id: [...keyed.filter((id) => id !== null), ...named],
    temperature: sampling('temp'),
    top_k: sampling('top_k'),
    top_p: sampling('top_p'),
    min_p: sampling('min_p'),
    repetition_penalty: sampling('penalty_repeat'),
  };
};

/** What towers of this kind have where a file does not say it. */
const usual = { patch: 16, merge: 2, frames: 2, pixelsMin: 65_536, pixelsMax: 16_777_216, mean: [0.5, 0.5, 0.5] };

const preprocessorConfig = (tower: GgufMetadata): unknown => {
  const number = (name: string): number | null => tower.number(`clip.vision.${name}`);
  return {
    patch_size: number('patch_size') ?? usual.patch,
    temporal_patch_size: usual.frames,
    merge_size: number('spatial_merge_size') ?? usual.merge,
    image_mean: tower.numbers('clip.vision.image_mean') ?? usual.mean,
    image_std: tower.numbers('clip.vision.image_std') ?? usual.mean,
    min_pixels: number('image_min_pixels') ?? usual.pixelsMin,
    max_pixels: number('image_max_pixels') ?? usual.pixelsMax,
  };
};

type MakeFile = (model: GgufModel) => unknown;

const makers: ReadonlyMap<string, MakeFile> = new Map<string, MakeFile>([
  ['tokenizer.json', ({ metadata }) => tokenizerOfGguf(metadata)],
  ['tokenizer_config.json', ({ metadata }) => tokenizerConfig(metadata)],
  ['generation_config.json', ({ metadata }) => generationConfig(metadata)],
  ['preprocessor_config.json', ({ tower }) => (tower === null ? null : preprocessorConfig(tower.metadata))],
]);

/** The value of the file named `file`, null where a GGUF file says nothing of the kind. @throws `model_load_failed`. */
export const ggufSideFile = async (path: string, file: string): Promise<unknown> => {
  const make = makers.get(file);
  return make === undefined ? null : make(await readGgufModel(path));
};
