/** `neuron.toml`, environment and flags into one config; paths in it are made absolute here, where their origin is known. */
import { access } from 'node:fs/promises';
import path from 'node:path';
import {
  loadConfig,
  neuronConfigSchema,
  neuronEnvironment,
  parseConfig,
  type NeuronConfig,
  type Override,
} from '@cortex/core';

/** Read when no file is named, and only if it is there. */
const defaultFile = 'neuron.toml';

export interface NeuronConfigSource {
  /** Null: `neuron.toml` in the working directory if there is one, else all defaults. */
  readonly file: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly flags?: readonly Override[];
  /** In front of the file's own; relative ones start at the working directory. */
  readonly modelDirs?: readonly string[];
  /** Loaded at start beside the file's `default_models`. */
  readonly load?: readonly string[];
}

export interface NeuronConfigFile {
  readonly config: NeuronConfig;
  /** What was read; null: there was no file. */
  readonly file: string | null;
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

const absolute = (dir: string, base: string, homeDir: string): string => {
  if (dir === '~' || dir.startsWith('~/')) return path.join(homeDir, dir.slice(1));
  return path.resolve(base, dir);
};

/** @throws ConfigError with every problem of the file. */
export const readNeuronConfig = async (source: NeuronConfigSource): Promise<NeuronConfigFile> => {
  const { env, homeDir, flags = [], modelDirs = [], load = [] } = source;
  const file = source.file ?? ((await exists(defaultFile)) ? defaultFile : null);
  const given = { env, environment: neuronEnvironment, flags };
  const config =
    file === null
      ? parseConfig(neuronConfigSchema, { file: defaultFile, text: '', ...given })
      : await loadConfig(neuronConfigSchema, { file, ...given });
  const base = file === null ? '.' : path.dirname(file);
  const named = new Set(config.default_models.map(({ id }) => id));
  const added = [...new Set(load)].filter((id) => !named.has(id)).map((id) => ({ id }));
  return {
    file,
    config: {
      ...config,
      model_dirs: [
        ...modelDirs.map((dir) => absolute(dir, '.', homeDir)),
        ...config.model_dirs.map((dir) => absolute(dir, base, homeDir)),
      ],
      default_models: [...config.default_models, ...added],
    },
  };
};
