/**
 * What a model's folder tells of it before it is loaded: enough to list it, to refuse what it cannot do and to guess
 * the memory it needs. Read from the small files only; files that make no sense become a refusal, never an exception.
 */
import path from 'node:path';
import { CortexError, describeIssue } from '@cortex/core';
import { z } from 'zod';
import { readTemplateSource } from '../chat/template-source.ts';
import { isGguf, readGgufHeader } from '../model-files/gguf-file.ts';
import { vetGgufTokenizer } from '../model-files/gguf-tokenizer.ts';
import { readModelConfig } from '../model/model-config.ts';
import { readTokenizerConfig } from '../tokenizer/tokenizer-files.ts';

export interface CheckpointFacts {
  /** Longest prompt and answer together, in tokens; null when the folder does not say. */
  readonly contextMax: number | null;
  readonly hasVision: boolean;
  readonly toolCall: boolean;
  readonly reasoning: boolean;
  /** Type of the weights as `config.json` names it, such as `bfloat16`. */
  readonly weightType: string | null;
  /** KV cache of one token at 16 bits. */
  readonly kvBytesPerToken: number;
  /** Lengths to which its embeddings may be cut: Matryoshka models only. */
  readonly embeddingLengths: 'any' | readonly number[] | null;
  /** Why it cannot be served here; null when it can. */
  readonly refusal: string | null;
}

const count = z
  .int()
  .positive()
  .max(2 ** 40)
  .nullish();

const textFields = {
  max_position_embeddings: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count,
  head_dim: count,
  hidden_size: count,
  layer_types: z.array(z.string()).nullish(),
  dtype: z.string().nullish(),
  torch_dtype: z.string().nullish(),
};

const configSchema = z.looseObject({
  model_type: z.string(),
  ...textFields,
  text_config: z.looseObject(textFields).nullish(),
  vision_config: z.unknown().optional(),
  quantization_config: z.looseObject({ quant_method: z.string().nullish() }).nullish(),
  is_matryoshka: z.boolean().nullish(),
  matryoshka_dimensions: z.array(z.int().positive()).nullish(),
});
type Config = z.infer<typeof configSchema>;
type TextConfig = Pick<Config, keyof typeof textFields>;

const unknownFacts = (refusal: string): CheckpointFacts => ({
  contextMax: null,
  hasVision: false,
  toolCall: false,
  reasoning: false,
  weightType: null,
  kvBytesPerToken: 0,
  embeddingLengths: null,
  refusal,
});

/** Layers of linear attention keep a state of fixed size and no cells. */
const kvBytesPerToken = (text: TextConfig): number => {
  const nLayers = text.layer_types?.filter((kind) => kind !== 'linear_attention').length ?? text.num_hidden_layers ?? 0;
  const nHeads = text.num_attention_heads ?? 0;
  const headSize = text.head_dim ?? (nHeads === 0 ? 0 : (text.hidden_size ?? 0) / nHeads);
  return nLayers * (text.num_key_value_heads ?? nHeads) * headSize * 2 * Uint16Array.BYTES_PER_ELEMENT;
};

const refusalOf = (config: Config, supported: readonly string[]): string | null => {
  const { model_type: type, quantization_config: quantised } = config;
  if (!supported.includes(type)) {
    return `models of type ${JSON.stringify(type.slice(0, 64))} are not supported (${supported.join(', ')} are)`;
  }
  if (quantised === null || quantised === undefined) return null;
  return `its weights are quantised (${quantised.quant_method ?? 'unknown method'}); F32, F16 and BF16 are read`;
};

const embeddingLengths = (config: Config): CheckpointFacts['embeddingLengths'] =>
  config.matryoshka_dimensions ?? (config.is_matryoshka === true ? 'any' : null);

/** @param templateText the chat template, null for none. @param supported the `model_type`s the engine has. */
export const factsOf = (
  config: unknown,
  templateText: string | null,
  supported: readonly string[],
): CheckpointFacts => {
  const parsed = configSchema.safeParse(config);
  if (!parsed.success) return unknownFacts(`config.json: ${describeIssue(parsed.error).message}`);
  const top = parsed.data;
  const text = top.text_config ?? top;
  const template = templateText ?? '';
  return {
    contextMax: text.max_position_embeddings ?? top.max_position_embeddings ?? null,
    hasVision: typeof top.vision_config === 'object' && top.vision_config !== null,
    toolCall: /\btools\b/.test(template) && /<tool_call>|<function=/.test(template),
    reasoning: /<think>|enable_thinking/.test(template),
    weightType: text.dtype ?? text.torch_dtype ?? top.dtype ?? top.torch_dtype ?? null,
    kvBytesPerToken: kvBytesPerToken(text),
    embeddingLengths: embeddingLengths(top),
    refusal: refusalOf(top, supported),
  };
};

/** Never throws: what is wrong with the folder is in `refusal`. */
export const readCheckpointFacts = async (dir: string, supported: readonly string[]): Promise<CheckpointFacts> => {
  try {
    const config = await readModelConfig(dir);
    if (isGguf(dir)) vetGgufTokenizer((await readGgufHeader(dir)).metadata);
    const template = await readTemplateSource(dir, await readTokenizerConfig(dir));
    return factsOf(config, template === null ? null : template.text + (template.toolText ?? ''), supported);
  } catch (thrown) {
    return unknownFacts(CortexError.from(thrown).message);
  }
};

/** The files whose change makes the facts stale. */
export const factFiles = (dir: string): readonly string[] =>
  // A tower may come to lie beside a GGUF file.
  isGguf(dir) ? [dir, path.dirname(dir)] : folderFactFiles(dir);

const folderFactFiles = (dir: string): readonly string[] =>
  ['config.json', 'tokenizer_config.json', 'chat_template.jinja', 'chat_template.json'].map((name) =>
    path.join(dir, name),
  );
