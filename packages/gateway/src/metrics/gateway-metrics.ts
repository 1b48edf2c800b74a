/**
 * The gateway's Prometheus metrics. Ended requests are tallied, fleet notices counted; gauges are read from the
 * fleet's snapshot when they are scraped. Only models that were resolved become labels, so that made-up
 * names can't fill the registry.
 */
import type { FleetSnapshot } from '@cortex/core';
import { Counter, Gauge, Registry } from 'prom-client';
import type { FleetNotice } from '../fleet/notices.ts';
import type { RequestRecord } from '../proxy/exchange.ts';
import { RequestTallies } from './request-tallies.ts';

const modelNode = ['model', 'node'] as const;
const deviceLabels = ['node', 'device'] as const;

const counters = (registry: Registry) => {
  const counter = (name: string, help: string): Counter<'model' | 'node'> =>
    new Counter({ name, help, labelNames: [...modelNode], registers: [registry] });
  return {
    coldStarts: counter('cortex_cold_starts_total', 'Models loaded.'),
    evictions: counter('cortex_evictions_total', 'Models unloaded to make room for another.'),
  };
};

const gauges = (registry: Registry, snapshot: () => FleetSnapshot): void => {
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: (set: (labels: Record<L, string>, value: number | null) => void) => void,
  ): Gauge<L> =>
    new Gauge<L>({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        read((labels, value) => {
          if (value !== null) this.set(labels, value);
        });
      },
    });
  const forDevices = (name: string, help: string, read: (device: DeviceOf) => number | null): Gauge =>
    gauge(name, help, deviceLabels, (set) => {
      for (const node of snapshot().nodes)
        for (const device of node.devices) set({ node: node.name, device: String(device.index) }, read(device));
    });
  gauge('cortex_model_in_flight', 'Requests running on a loaded model, from anywhere.', modelNode, (set) => {
    for (const node of snapshot().nodes)
      for (const model of node.models)
        if (model.status === 'loaded')
          set({ model: model.id, node: node.name }, model.in_flight + model.foreign_in_flight);
  });
  gauge('cortex_model_queue_depth', 'Requests waiting in this gateway for a model.', modelNode, (set) => {
    for (const { model, waiting } of snapshot().queue.by_model) set({ model, node: 'none' }, waiting);
  });
  forDevices('cortex_device_vram_used_mb', 'Device memory in use, in megabytes.', (device) => device.vram_used_mb);
  forDevices('cortex_device_vram_free_mb', 'Device memory free, in megabytes.', (device) => device.vram_free_mb);
  forDevices('cortex_device_utilization_pct', 'Device utilisation.', (device) => device.utilization_pct);
  forDevices('cortex_device_temp_c', 'Device temperature, in degrees Celsius.', (device) => device.temp_c);
};

type DeviceOf = FleetSnapshot['nodes'][number]['devices'][number];

export class GatewayMetrics {
  readonly #registry = new Registry();
  readonly #requests = new RequestTallies();
  readonly #counters: ReturnType<typeof counters>;
  readonly #take: () => FleetSnapshot;
  /** Of the scrape under way: describing a large fleet once is dear enough. */
  #snapshot: FleetSnapshot | null = null;

  constructor(snapshot: () => FleetSnapshot) {
    this.#take = snapshot;
    this.#counters = counters(this.#registry);
    gauges(this.#registry, () => (this.#snapshot ??= this.#take()));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    const gauged = await this.#registry.metrics();
    this.#snapshot = null;
    return `${this.#requests.text()}${gauged}`;
  }

  /** An inference request has ended. */
  observe(record: RequestRecord, durationMs: number): void {
    this.#requests.add(record, durationMs);
  }

  notice(notice: FleetNotice): void {
    if (notice.kind === 'load_finished') this.#counters.coldStarts.inc({ model: notice.model, node: notice.node });
    if (notice.kind === 'evicted') this.#counters.evictions.inc({ model: notice.model, node: notice.node });
  }
}
