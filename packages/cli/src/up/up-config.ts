/**
 * What `cortex up` runs, from its flags, the files in this folder and the environment. Without files both programs keep
 * to this machine; a file or a variable that says otherwise stands over that.
 */
import { access } from 'node:fs/promises';
import { ConfigError, type NeuronConfig } from '@cortex/core';
import type { GatewayConfig } from '@cortex/gateway';
import { bundledModelAbsence, findBundledModel, type BundledModel } from '../bundled-model.ts';

export interface UpFlags {
  readonly modelDir?: readonly string[];
  readonly load?: readonly string[];
  readonly host?: string;
  readonly port?: number;
  readonly metricsPort?: number;
  readonly neuronPort?: number;
  readonly config?: string;
  readonly neuronConfig?: string;
  /** Left out: when there is nothing else to serve. */
  readonly demo?: boolean;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
}

export interface UpConfig {
  readonly neuron: NeuronConfig;
  /** Where the gateway reaches the neuron, once it listens on this port. */
  neuronEndpoint(port: number): string;
  /** The gateway's, its node on this machine being at `neuronPort`. */
  gateway(neuronPort: number): Promise<GatewayConfig>;
  readonly demo: BundledModel | null;
}

const nodeName = 'local';

/** Without a file. A node on this machine costs nothing to look at. */
const gatewayDefaults = {
  CORTEX_GATEWAY__LISTEN: '127.0.0.1:31313',
  CORTEX_GATEWAY__METRICS_LISTEN: '127.0.0.1:31314',
  CORTEX_POLLER__INTERVAL_SECS: '0.5',
} as const;

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** Where a process on this machine reaches what listens on `host`. */
export const localUrl = (host: string, port: number): string => {
  const near = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  return `http://${near}:${port}`;
};

const portOverride = (port: number | undefined) =>
  port === undefined ? [] : [{ name: '--neuron-port', path: ['port'], value: port }];

const readNeuron = async (flags: UpFlags, { env, homeDir }: Surroundings, more: BundledModel | null) => {
  const { readNeuronConfig } = await import('@cortex/neuron');
  const file = flags.neuronConfig ?? ((await exists('neuron.toml')) ? 'neuron.toml' : null);
  const { config } = await readNeuronConfig({
    file,
    env: file === null ? { NEURON_HOST: '127.0.0.1', ...env } : env,
    homeDir,
    flags: portOverride(flags.neuronPort),
    modelDirs: [...(flags.modelDir ?? []), ...(more === null ? [] : [more.modelDir])],
    load: [...(flags.load ?? []), ...(more === null ? [] : [more.id])],
  });
  return { config, hasFile: file !== null };
};

/** The token that the gateway shows to its neurons, where the neuron on this machine asks for one. */
const tokenFor = (neuron: NeuronConfig, given: string | undefined): { neuron_token?: string } => {
  if (given !== undefined || neuron.token === undefined) return given === undefined ? {} : { neuron_token: given };
  if (!neuron.token.startsWith('sha256:')) return { neuron_token: neuron.token };
  throw new ConfigError([
    'neuron.toml holds only a hash of its token: set [gateway] neuron_token in cortex.toml to the token',
  ]);
};

const readGateway = async (
  flags: UpFlags,
  { env }: Surroundings,
  neuron: NeuronConfig,
  neuronPort: number,
): Promise<GatewayConfig> => {
  const { readGatewayConfig } = await import('@cortex/gateway');
  const file = flags.config ?? ((await exists('cortex.toml')) ? 'cortex.toml' : null);
  const read = await readGatewayConfig({
    file,
    env: file === null ? { ...gatewayDefaults, ...env } : env,
    neurons: [{ name: nodeName, endpoint: localUrl(neuron.host, neuronPort) }],
  });
  const { gateway } = read.cortex;
  const host = flags.host === undefined ? {} : { host: flags.host };
  const moved = {
    ...gateway,
    ...tokenFor(neuron, gateway.neuron_token),
    listen: { ...gateway.listen, ...host, ...(flags.port === undefined ? {} : { port: flags.port }) },
    metrics_listen: {
      ...gateway.metrics_listen,
      ...host,
      ...(flags.metricsPort === undefined ? {} : { port: flags.metricsPort }),
    },
  };
  return { ...read, cortex: { ...read.cortex, gateway: moved } };
};

const hasModels = async (neuron: NeuronConfig, surroundings: Surroundings): Promise<boolean> => {
  const { ModelStore, storeOptions } = await import('@cortex/neuron');
  return (await new ModelStore(storeOptions(neuron, surroundings)).list()).length > 0;
};

/** @throws ConfigError with what is wrong with a file, a variable or a flag. */
export const readUpConfig = async (flags: UpFlags, surroundings: Surroundings): Promise<UpConfig> => {
  const plain = await readNeuron(flags, surroundings, null);
  const asksForMore = plain.hasFile || plain.config.default_models.length > 0;
  const wanted = flags.demo ?? (!asksForMore && !(await hasModels(plain.config, surroundings)));
  const demo = wanted ? findBundledModel() : null;
  if (flags.demo === true && demo === null) throw new ConfigError([bundledModelAbsence()]);
  const neuron = demo === null ? plain.config : (await readNeuron(flags, surroundings, demo)).config;
  return {
    neuron,
    demo,
    neuronEndpoint: (port) => localUrl(neuron.host, port),
    gateway: (neuronPort) => readGateway(flags, surroundings, neuron, neuronPort),
  };
};
