/** The gateway's two files, read and checked: `cortex.toml`, and the catalogue that it names. */
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  cortexConfigSchema,
  cortexEnvironment,
  loadConfig,
  modelsConfigSchema,
  parseConfig,
  type CortexConfig,
  type ModelsConfig,
  type Override,
} from '@cortex/core';

export interface GatewayConfigSource {
  /** Path of `cortex.toml`; null: there is none, and all defaults apply. */
  readonly file: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags?: readonly Override[];
  /** Nodes beside those of the file; one whose endpoint stands there already is left out. */
  readonly neurons?: CortexConfig['neurons'];
}

export interface GatewayConfig {
  readonly cortex: CortexConfig;
  readonly models: ModelsConfig;
  /** Where the catalogue was read; null: there is none. */
  readonly modelsFile: string | null;
}

const defaultFile = 'cortex.toml';
const defaultModelsFile = 'models.toml';

const exists = async (file: string): Promise<boolean> => {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
};

/** Names that the catalogue uses and the fleet does not have are slips, and would quietly place nothing. */
const strangers = (cortex: CortexConfig, models: ModelsConfig, modelsFile: string): readonly string[] => {
  const names = new Set([...cortex.neurons, ...cortex.upstreams].map((node) => node.name));
  return models.models.flatMap((model) =>
    model.pinned_on
      .filter((name) => !names.has(name))
      .map((name) => `${modelsFile}: ${model.id}: pinned_on: no node is called ${name}`),
  );
};

/** @throws ConfigError with every problem of the file it stopped at. */
export const readGatewayConfig = async (source: GatewayConfigSource): Promise<GatewayConfig> => {
  const { env, flags = [], neurons = [] } = source;
  const file = source.file ?? defaultFile;
  const given = { file, env, environment: cortexEnvironment, flags };
  const read =
    source.file === null
      ? parseConfig(cortexConfigSchema, { ...given, text: '' })
      : await loadConfig(cortexConfigSchema, given);
  const names = new Set([...read.neurons, ...read.upstreams].map((node) => node.name));
  const endpoints = new Set(read.neurons.map((node) => node.endpoint));
  const more = neurons.filter((node) => !endpoints.has(node.endpoint));
  const taken = more.find((node) => names.has(node.name));
  if (taken !== undefined) throw new ConfigError([`${file}: a node of it is called ${taken.name} already`]);
  const cortex = { ...read, neurons: [...read.neurons, ...more] };
  const modelsFile = resolve(dirname(file), cortex.models_config);
  const missing = cortex.models_config === defaultModelsFile && !(await exists(modelsFile));
  const models = missing
    ? parseConfig(modelsConfigSchema, { file: modelsFile, text: '' })
    : await loadConfig(modelsConfigSchema, { file: modelsFile });
  const problems = strangers(cortex, models, modelsFile);
  if (problems.length > 0) throw new ConfigError(problems);
  return { cortex, models, modelsFile: missing ? null : modelsFile };
};
