/** Every architecture there is: a new one is a folder beside this file and a line here. */
import { CortexError } from '@cortex/core';
import type { GgufModel } from '../model-files/gguf-file.ts';
import { ggufFileType } from '../model-files/gguf-file-type.ts';
import type { Arch } from './arch.ts';
import { qwen3 } from './qwen3/qwen3.ts';
import { qwen35 } from './qwen3_5/qwen3_5.ts';
import { qwen35Moe } from './qwen3_5_moe/qwen3_5_moe.ts';
import { qwen3Moe } from './qwen3_moe/qwen3_moe.ts';

const archs = [qwen3, qwen3Moe, qwen35, qwen35Moe] as const satisfies readonly Arch[];

export const supportedModelTypes: readonly string[] = archs.flatMap((arch) => arch.modelTypes);

const modelTypeOf = (config: unknown): unknown =>
  typeof config === 'object' && config !== null && 'model_type' in config ? config.model_type : undefined;

/** @throws CortexError `model_load_failed` naming the type and those there are. */
export const archOf = (config: unknown): Arch => {
  const modelType = modelTypeOf(config);
  const arch = archs.find(({ modelTypes }) => typeof modelType === 'string' && modelTypes.includes(modelType));
  if (arch !== undefined) return arch;
  const shown = typeof modelType === 'string' ? `"${modelType.slice(0, 64)}"` : 'missing';
  throw new CortexError(
    'model_load_failed',
    `config.json: model_type is ${shown}; this build runs ${supportedModelTypes.join(', ')}`,
    { facts: { model_type: typeof modelType === 'string' ? modelType.slice(0, 64) : null } },
  );
};

/** A GGUF file's keys as a `config.json`. @throws CortexError `model_load_failed` naming the architecture and those there are. */
export const configOfGguf = (model: GgufModel): unknown => {
  const { metadata } = model;
  const name = metadata.text('general.architecture') ?? '';
  const arch = archs.find(({ gguf }) => gguf.architecture === name);
  if (arch !== undefined)
    return { ...arch.gguf.configOf(model), model_type: arch.modelTypes[0], dtype: ggufFileType(metadata) };
  const known = archs.map(({ gguf }) => gguf.architecture).join(', ');
  throw new CortexError(
    'model_load_failed',
    `${metadata.file}: general.architecture is ${JSON.stringify(name.slice(0, 64))}; this build runs ${known}`,
    { facts: { architecture: name.slice(0, 64) } },
  );
};
