/** The gateway's figures, as numbers and as the table that people read. */
import type { RoutingCost } from '../../packages/gateway/test/fleet/routing-bench.ts';
import type { End } from './programs.ts';

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** Milliseconds of one request after another, to its first byte and to its last. */
export interface Latency {
  readonly first: Percentiles;
  readonly last: Percentiles;
}

/** Medians of several rounds. */
export interface Load {
  readonly requestsPerSec: number;
  /** Of the process that was asked, all its threads; null where there is no `/proc`. */
  readonly cpuUsPerRequest: number | null;
}

export interface GatewayBench {
  readonly latency: readonly ({ readonly what: string } & Readonly<Record<End, Latency>>)[];
  /** Clients of each `load`. */
  readonly nAtOnce: number;
  readonly load: readonly ({ readonly what: string } & Readonly<Record<End, Load>>)[];
  readonly chunksPerSec: readonly { readonly nStreams: number; readonly direct: number; readonly through: number }[];
  /** Milliseconds from a client's leaving to the node's noticing. */
  readonly abortMs: { readonly direct: Percentiles; readonly through: Percentiles };
  readonly routing: readonly RoutingCost[];
}

const ms = (value: number): string => `${value.toFixed(2).padStart(6)} ms`;
const perSec = (value: number): string => Math.round(value).toLocaleString('en').padStart(9);
const us = (value: number | null): string => `${value === null ? '–' : Math.round(value)} us`.padStart(8);

const latencyLine = ({ what, direct, bare, through }: GatewayBench['latency'][number]): string => {
  const adds = (end: Latency): string =>
    `${ms(end.first.p50 - direct.first.p50)} ${ms(end.last.p50 - direct.last.p50)} ${ms(end.last.p99 - direct.last.p99)}`;
  return `  ${what.padEnd(28)} ${ms(direct.last.p50)}   ${adds(bare)}   ${adds(through)}`;
};

const loadText = (end: Load): string => `${perSec(end.requestsPerSec)} ${us(end.cpuUsPerRequest)}`;

const loadLine = ({ what, direct, bare, through }: GatewayBench['load'][number]): string =>
  `  ${what.padEnd(28)} ${loadText(direct)} ${loadText(bare)} ${loadText(through)}`;

const chunksLine = ({ nStreams, direct, through }: GatewayBench['chunksPerSec'][number]): string =>
  `  ${`${nStreams} at once`.padEnd(28)} ${perSec(direct)}                    ${perSec(through)}`;

const routingLine = ({ nodes, models, pickUs, leaseUs }: RoutingCost): string =>
  `  ${`${nodes} nodes x ${models} models`.padEnd(28)} choice ${pickUs.toFixed(1)} us, with its lease and release ${leaseUs.toFixed(1)} us`;

export const reportText = (bench: GatewayBench): string =>
  [
    'one request after another      direct p50   a bare proxy adds              the gateway adds',
    '                                            first p50  last p50  last p99  first p50  last p50  last p99',
    ...bench.latency.map(latencyLine),
    `${bench.nAtOnce} at once, a second and CPU           direct       a bare proxy        the gateway`,
    ...bench.load.map(loadLine),
    'stream chunks a second             direct                    the gateway',
    ...bench.chunksPerSec.map(chunksLine),
    'client gone to slot free',
    `  directly                     p50 ${ms(bench.abortMs.direct.p50)}   p99 ${ms(bench.abortMs.direct.p99)}`,
    `  through both hops            p50 ${ms(bench.abortMs.through.p50)}   p99 ${ms(bench.abortMs.through.p99)}`,
    'one routing decision',
    ...bench.routing.map(routingLine),
  ].join('\n');
