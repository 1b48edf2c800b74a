/** The gateway's HTTP side over a static fleet of fake neurons, on a free port, with its log kept. */
import { Writable } from 'node:stream';
import pino from 'pino';
import { parseConfig, cortexConfigSchema, type CortexConfig } from '@cortex/core';
import { KeyLimits } from '../src/auth/key-limits.ts';
import { KeyRing } from '../src/auth/key-ring.ts';
import type { PageFiles } from '../src/http/page-files.ts';
import { createServer, type GatewayServer } from '../src/http/server.ts';
import { GatewayMetrics } from '../src/metrics/gateway-metrics.ts';
import { LogLines } from '../src/observe/log-lines.ts';
import { Observed } from '../src/observe/observed.ts';
import { NodePools } from '../src/proxy/node-pools.ts';
import { RemoteImages, type RemoteImagesOptions } from '../src/proxy/remote-images.ts';
import { proxySettings } from '../src/proxy/settings.ts';
import type { Dialect } from '../src/translate/contract.ts';
import { dialects } from '../src/translate/dialects.ts';
import { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { newModel, type FakeModel } from './fake-neuron/settings.ts';
import { StaticFleet, type StaticFleetOptions } from './static-fleet.ts';

export interface EdgeOptions {
  /** `cortex.toml`. */
  readonly config?: string;
  readonly nNodes?: number;
  readonly model?: Partial<FakeModel>;
  readonly fleet?: Partial<StaticFleetOptions>;
  readonly dialects?: Readonly<Record<string, Dialect>>;
  readonly images?: Omit<RemoteImagesOptions, 'settings'>;
  readonly neuronToken?: string;
  /** None when left out: tests of the edge need no built page. */
  readonly page?: PageFiles;
}

export interface Edge {
  readonly url: string;
  readonly fleet: StaticFleet;
  readonly nodes: readonly FakeNeuron[];
  /** The first of them. */
  readonly node: FakeNeuron;
  readonly metrics: GatewayMetrics;
  readonly observed: Observed;
  readonly server: GatewayServer;
  readonly config: CortexConfig;
  /** Parsed log lines so far. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  close(): Promise<void>;
}

const parseCortex = (text: string): CortexConfig => parseConfig(cortexConfigSchema, { file: 'cortex.toml', text });

/** Nodes `a`, `b`, … each with a loaded `m`; `alias` stands for it. */
export const startEdge = async (options: EdgeOptions = {}): Promise<Edge> => {
  const config = parseCortex(options.config ?? '');
  const nodes = await Promise.all(
    Array.from({ length: options.nNodes ?? 1 }, (_, i) =>
      new FakeNeuron({
        name: String.fromCodePoint(97 + i),
        models: [newModel('m', { status: 'loaded', ...options.model })],
        ...(options.neuronToken === undefined ? {} : { token: options.neuronToken }),
      }).start(),
    ),
  );
  const [node] = nodes;
  if (node === undefined) throw new Error('a fleet needs a node');
  const fleet = new StaticFleet({
    nodes: nodes.map(({ name, url }) => ({
      name,
      endpoint: url,
      ...(options.neuronToken === undefined ? {} : { token: options.neuronToken }),
    })),
    models: { m: 'm', alias: 'm' },
    ...options.fleet,
  });
  const settings = proxySettings(config);
  const pools = new NodePools(settings);
  const metrics = new GatewayMetrics(() => fleet.snapshot());
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().trim().split('\n')) log.push(JSON.parse(line) as Record<string, unknown>);
      done();
    },
  });
  const lines = new LogLines(sink);
  const observed = new Observed(lines);
  const server = createServer(
    {
      proxy: {
        fleet,
        pools,
        images: new RemoteImages({ settings: config.images, ...options.images }),
        settings,
        decisions: observed.decisions,
        via: 'cortex-test',
      },
      control: fleet,
      keys: new KeyRing(config.keys, config.gateway.require_auth),
      limits: new KeyLimits(() => performance.now()),
      metrics,
      log: pino({ level: 'debug' }, lines),
      observed,
      version: { name: 'cortex', version: '0.0.0', node: process.version },
      dialects: options.dialects ?? dialects,
    },
    { bodyBytesMax: config.gateway.body_limit_mb * 1024 * 1024, page: options.page ?? new Map() },
  );
  const url = await server.listen('127.0.0.1', 0);
  return {
    url,
    fleet,
    nodes,
    node,
    metrics,
    observed,
    server,
    config,
    log,
    close: async () => {
      await server.close();
      await pools.close();
      await Promise.all(nodes.map((one) => one.stop()));
    },
  };
};

/** Polls until it holds, for things that settle a moment after the client has its answer. */
export const eventually = async (holds: () => boolean, withinMs = 3000): Promise<void> => {
  const untilMs = performance.now() + withinMs;
  while (!holds() && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 5));
  if (!holds()) throw new Error(`did not come true within ${withinMs} ms`);
};
