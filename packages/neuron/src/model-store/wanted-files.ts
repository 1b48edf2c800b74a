/** Which files of a hub repository the engine reads; the rest (other formats, pictures, scripts) stays there. */
import { CortexError } from '@cortex/core';
import { configFile, isWeightFile, weightIndexFile } from './checkpoint-folder.ts';

export interface RemoteFile {
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of the content for files in large storage, else git's own hash of it. Also the blob's name. */
  readonly digest: { readonly kind: 'sha256' | 'git-sha1'; readonly hex: string };
}

const small: ReadonlySet<string> = new Set([
  configFile,
  weightIndexFile,
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'chat_template.json',
  'preprocessor_config.json',
]);

/** `config.json` first, so that what cannot be run is found out before the weights; they come last. */
export const wantedFiles = (id: string, files: readonly RemoteFile[]): readonly RemoteFile[] => {
  const config = files.find((file) => file.path === configFile);
  if (config === undefined) {
    throw new CortexError('model_load_failed', `${id} has no ${configFile} on the hub`, { facts: { model_id: id } });
  }
  const about = files.filter((file) => small.has(file.path) && file !== config);
  const flat = files.filter((file) => /^[\w.-]+$/.test(file.path) && isWeightFile(file.path));
  const named = flat.filter((file) => file.path.startsWith('model'));
  const weights = named.length > 0 ? named : flat;
  if (weights.length === 0) {
    throw new CortexError('model_load_failed', `${id} has no safetensors weights on the hub`, {
      facts: { model_id: id },
    });
  }
  return [config, ...about, ...weights];
};
