/**
 * The gateway's composition root: config in, a running gateway out. Everything that lives as long as the process is
 * made here and closed here, in this order: requests end, the fleet is left alone, sockets close.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { CortexConfig, ListenAddress } from '@cortex/core';
import { pino, type Logger } from 'pino';
import { KeyLimits } from './auth/key-limits.ts';
import { KeyRing } from './auth/key-ring.ts';
import { fleetConfig } from './fleet/fleet-config.ts';
import { LiveFleet } from './fleet/fleet.ts';
import type { GatewayVersion } from './http/context.ts';
import { createServer, type GatewayServer } from './http/server.ts';
import { GatewayMetrics } from './metrics/gateway-metrics.ts';
import { serveMetrics } from './metrics/metrics-server.ts';
import { logNotice } from './metrics/notice-log.ts';
import { LogLines, type LogDestination } from './observe/log-lines.ts';
import { Observed } from './observe/observed.ts';
import { NodePools } from './proxy/node-pools.ts';
import { RemoteImages } from './proxy/remote-images.ts';
import { proxySettings } from './proxy/settings.ts';
import type { GatewayConfig } from './read-config.ts';
import { dialects } from './translate/dialects.ts';

export interface Gateway {
  /** Of the API, such as `http://127.0.0.1:31313`. */
  readonly url: string;
  readonly metricsUrl: string;
  /** What stands where, in two lines for a person. */
  readonly startup: string;
  /** Lets running requests end within the configured `drain_secs`, or `graceMs`, then frees everything. */
  close(graceMs?: number): Promise<void>;
}

export const gatewayVersion = (): GatewayVersion => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version: string };
  return { name: 'cortex', version, node: process.version };
};

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

const urlOf = (address: ListenAddress, port: number): string => {
  const host = address.host === '0.0.0.0' || address.host === '::' ? 'localhost' : address.host;
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
};

interface StartupFacts {
  readonly url: string;
  readonly metricsUrl: string;
  readonly neurons: number;
  readonly upstreams: number;
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const startupText = ({ url, metricsUrl, neurons, upstreams }: StartupFacts): string => {
  const nodes = `${counted(neurons, 'neuron')}${upstreams === 0 ? '' : ` and ${counted(upstreams, 'upstream')}`}`;
  return `cortex ${gatewayVersion().version} listening on ${url}, metrics on ${metricsUrl}\n${nodes} configured; try: curl ${url}/v1/models`;
};

interface LongLived {
  readonly fleet: LiveFleet;
  readonly pools: NodePools;
  readonly metrics: GatewayMetrics;
  readonly log: Logger;
  readonly observed: Observed;
  /** Unique to this process. */
  readonly via: string;
}

const serverFor = (config: CortexConfig, { fleet, pools, metrics, log, observed, via }: LongLived) =>
  createServer(
    {
      proxy: {
        fleet,
        pools,
        images: new RemoteImages({ settings: config.images }),
        settings: proxySettings(config),
        decisions: observed.decisions,
        via,
      },
      control: fleet,
      keys: new KeyRing(config.keys, config.gateway.require_auth),
      limits: new KeyLimits(() => performance.now()),
      metrics,
      log,
      observed,
      version: gatewayVersion(),
      dialects,
    },
    { bodyBytesMax: config.gateway.body_limit_mb * 1024 * 1024, browserHosts: config.gateway.browser_hosts },
  );

const listen = async (server: GatewayServer, address: ListenAddress): Promise<string> => {
  const bound = new URL(await server.listen(address.host, address.port));
  return urlOf(address, Number(bound.port === '' ? 80 : bound.port));
};

/** Lines leave together, as soon as these are many or this has passed: a write for each costs as much as routing. */
const logBytesMin = 15 * 1024;
const logFlushMs = 200;

const logFile = (): LogDestination =>
  pino.destination({ sync: false, minLength: logBytesMin, periodicFlush: logFlushMs });

/** Resolves when both addresses answer. @throws Node's `EADDRINUSE`, `EACCES`, …; then nothing is left open. */
export const startGateway = async (
  config: GatewayConfig,
  destination: LogDestination = logFile(),
): Promise<Gateway> => {
  const { cortex, models } = config;
  const { listen: address, metrics_listen: metricsAddress, drain_secs: drainSecs } = cortex.gateway;
  const lines = new LogLines(destination);
  const log = pino({ level: cortex.gateway.log_level }, lines);
  const observed = new Observed(lines);
  const via = `cortex-${randomBytes(4).toString('hex')}`;
  const fleet = new LiveFleet(fleetConfig(cortex, models), {
    via,
    onNotice: (notice) => {
      metrics.notice(notice);
      logNotice(log, notice);
    },
  });
  const metrics: GatewayMetrics = new GatewayMetrics(() => fleet.snapshot());
  const pools = new NodePools(proxySettings(cortex));
  const server = serverFor(cortex, { fleet, pools, metrics, log, observed, via });
  const metricsServer = await serveMetrics(metrics, metricsAddress);
  let url: string;
  try {
    url = await listen(server, address);
  } catch (error) {
    await metricsServer.close();
    throw error;
  }
  fleet.start();
  const metricsUrl = `${urlOf(metricsAddress, metricsServer.port)}/metrics`;
  const facts = { url, metricsUrl, neurons: cortex.neurons.length, upstreams: cortex.upstreams.length };
  log.info({ ...facts, models: models.models.length, keys: cortex.keys.length }, 'listening');
  if (cortex.keys.length === 0 && !isLoopback(address.host)) {
    log.warn({ listen: address.host }, 'no API keys are configured: whoever reaches this port may use it');
  }
  return {
    url,
    metricsUrl,
    startup: startupText(facts),
    close: async (graceMs = drainSecs * 1000) => {
      log.info({ graceMs }, 'shutting down');
      await server.drain(graceMs);
      await fleet.close();
      await server.close();
      await pools.close();
      await metricsServer.close();
      log.flush();
    },
  };
};
