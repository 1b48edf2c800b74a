/**
 * The neuron's composition root: config and environment in, a running daemon out. Everything that lives as long as
 * the process is made here and closed here. The port answers before any model is loaded.
 */
import { readFileSync } from 'node:fs';
import type { Harness, NeuronConfig, Version } from '@cortex/core';
import { pino, type Logger } from 'pino';
import { DefaultModels } from './default-models.ts';
import { DeviceReadings } from './discovery/device-readings.ts';
import type { EnginePackages } from './discovery/accelerator.ts';
import { discoveryOf } from './discovery/discover.ts';
import { GpuMonitor } from './discovery/gpu-monitor.ts';
import { matchGpus, withCardReadings, withGpuReadings } from './discovery/match-gpus.ts';
import { readCard } from './discovery/pci-cards.ts';
import { readSystem } from './discovery/read-system.ts';
import { createServer, type NeuronServer } from './http/server.ts';
import { hubCacheDir } from './model-store/hub-cache.ts';
import { hubOptions, isHubOffline } from './model-store/hub-environment.ts';
import { ModelStore, type ModelStoreOptions } from './model-store/model-store.ts';
import { startupText } from './startup-text.ts';

export interface Engine {
  readonly harness: Harness;
  /** For `/version`. */
  readonly ggml: Version['ggml'];
  readonly backends: readonly string[];
  /** Of prebuilt libraries, for an engine that has such. */
  readonly packages?: EnginePackages;
}

export interface EngineParts {
  readonly config: NeuronConfig['harness']['ggml'];
  /** The process's: an operator's settings of the allocator are found there. */
  readonly env: NeuronEnvironment['env'];
  /** Models that have settings of their own, whenever they are loaded. */
  readonly defaultModels: NeuronConfig['default_models'];
  readonly store: ModelStore;
  readonly log: Logger;
}

/** Opens the devices and loads no model. @throws ConfigError or CortexError when the host cannot run it. */
export type EngineFactory = (parts: EngineParts) => Promise<Engine>;

export interface NeuronEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
}

export interface Neuron {
  /** Where it listens, such as `http://0.0.0.0:13131`. */
  readonly url: string;
  /** For a person's eyes: devices, models, address. */
  readonly startup: string;
  /** Resolves when every default model has been loaded or has failed. */
  readonly activated: Promise<void>;
  /** Lets running requests end within `drain_secs`, or `graceMs`; then stops the rest and frees the devices. */
  close(graceMs?: number): Promise<void>;
}

/** A client that takes nothing for this long holds a place for nobody. */
const stallMs = 120_000;
/** Well under the time after which a gateway gives up a poll. */
const devicePatienceMs = 500;
/** A hung device never gives its memory back; the process ends without waiting for it. */
const engineCloseMs = 10_000;

export const neuronVersion = (): string => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
};

export const storeOptions = (config: NeuronConfig, { env, homeDir }: NeuronEnvironment): ModelStoreOptions => ({
  modelDirs: config.model_dirs,
  hubCacheDir: hubCacheDir(env, homeDir),
  hub: config.harness.ggml.allow_download && !isHubOffline(env) ? hubOptions(env) : null,
});

interface ServerParts {
  readonly config: NeuronConfig;
  readonly env: NeuronEnvironment['env'];
  readonly engine: Engine;
  readonly version: Version;
  readonly models: DefaultModels;
  readonly log: Logger;
}

const serverOf = ({ config, env, engine, version, models, log }: ServerParts): NeuronServer => {
  const { harness, packages = { available: [], installed: [] } } = engine;
  const monitor = new GpuMonitor();
  const system = readSystem(env);
  const firstReading = monitor.refresh();
  const readings = new DeviceReadings(
    async () => withCardReadings(await harness.deviceHealth(), harness.devices, readCard),
    devicePatienceMs,
  );
  return createServer(
    {
      harness,
      version,
      log,
      discover: async () => {
        await firstReading;
        const health = await readings.latest();
        return discoveryOf(
          { ...(await system), gpus: monitor.latest() },
          {
            harness: harness.name,
            devices: harness.devices,
            health,
            packages,
            promptTokensMax: config.harness.ggml.context_max ?? null,
          },
        );
      },
      deviceHealth: async () => {
        const gpus = monitor.latest();
        const health = await readings.latest();
        return gpus.kind === 'ok' ? withGpuReadings(health, matchGpus(harness.devices, gpus.gpus)) : health;
      },
      activation: () => models.activation,
    },
    {
      bodyBytesMax: config.body_limit_mb * 1024 * 1024,
      keepaliveMs: config.keepalive_secs * 1000,
      stallMs,
      ...(config.token === undefined ? {} : { token: config.token }),
    },
  );
};

const closeEngine = async (harness: Harness, log: Logger): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), engineCloseMs);
  });
  const ended = await Promise.race([harness.close(0), late]);
  clearTimeout(timer);
  if (ended === 'late') log.error('the engine did not close in time');
};

const listen = async (server: NeuronServer, config: NeuronConfig, harness: Harness, log: Logger): Promise<string> => {
  try {
    return await server.listen(config.host, config.port);
  } catch (error) {
    await closeEngine(harness, log);
    throw error;
  }
};

/** Resolves when the port answers. @throws what the factory throws, and Node's `EADDRINUSE`, `EACCES`, … */
export const startNeuron = async (
  config: NeuronConfig,
  environment: NeuronEnvironment,
  createEngine: EngineFactory,
  log: Logger = pino({ level: config.log_level }),
): Promise<Neuron> => {
  const store = new ModelStore(storeOptions(config, environment));
  const { env } = environment;
  const ggmlConfig = config.harness.ggml;
  const engine = await createEngine({ config: ggmlConfig, env, defaultModels: config.default_models, store, log });
  const { harness, ggml, backends } = engine;
  const version: Version = { name: 'neuron', version: neuronVersion(), node: process.version, ggml, backends };
  const defaults = new DefaultModels();
  const server = serverOf({ config, env, engine, version, models: defaults, log });
  const url = await listen(server, config, harness, log);
  const activated = defaults.load(harness, config.default_models, log);
  const models = await store.list();
  log.info(
    {
      url,
      devices: harness.devices.length,
      models: models.length,
      defaultModels: config.default_models.map(({ id }) => id),
    },
    'started',
  );
  let closing: Promise<void> | null = null;
  const close = async (graceMs: number): Promise<void> => {
    log.info({ graceMs }, 'shutting down');
    await server.drain(graceMs);
    await closeEngine(harness, log);
    await server.close();
  };
  return {
    url,
    startup: startupText({ version, devices: harness.devices, models, config, url }),
    activated,
    close: (graceMs = config.drain_secs * 1000) => (closing ??= close(graceMs)),
  };
};
