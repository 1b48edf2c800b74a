/**
 * The gateway's Prometheus metrics. Counters and histograms are fed by ended requests and fleet notices; gauges are
 * read from the fleet's snapshot when they are scraped. Only models that were resolved become labels, so that made-up
 * names can't fill the registry.
 */
import type { FleetSnapshot } from '@cortex/core';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { FleetNotice } from '../fleet/notices.ts';
import { decodeRate, type RequestRecord } from '../proxy/exchange.ts';

const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const rateBuckets = [1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 500, 1000];

const modelNode = ['model', 'node'] as const;
const deviceLabels = ['node', 'device'] as const;

const counters = (registry: Registry) => {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter<L>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    requests: counter('cortex_requests_total', 'Inference requests that have ended, however they ended.', modelNode),
    errors: counter('cortex_request_errors_total', 'Of those, the ones that failed or were aborted, by error code.', [
      ...modelNode,
      'code',
    ]),
    promptTokens: counter('cortex_prompt_tokens_total', 'Prompt tokens, as the nodes reported them.', modelNode),
    completionTokens: counter(
      'cortex_completion_tokens_total',
      'Answer tokens; pieces of the stream where a request ended before its node reported them.',
      modelNode,
    ),
    cachedTokens: counter('cortex_cached_prompt_tokens_total', 'Prompt tokens that a prefix cache held.', modelNode),
    coldStarts: counter('cortex_cold_starts_total', 'Models loaded.', modelNode),
    evictions: counter('cortex_evictions_total', 'Models unloaded to make room for another.', modelNode),
  };
};

const histograms = (registry: Registry) => {
  const histogram = <L extends string>(name: string, help: string, buckets: number[], labelNames: readonly L[]) =>
    new Histogram<L>({ name, help, buckets, labelNames: [...labelNames], registers: [registry] });
  return {
    duration: histogram(
      'cortex_request_duration_seconds',
      "From a request's arrival to its end.",
      secondsBuckets,
      modelNode,
    ),
    firstToken: histogram(
      'cortex_time_to_first_token_seconds',
      'Of streams: phase "total" from arrival to the first token, and its parts "queue", "load" and "prefill". ' +
        'A request that ended before has the parts it came to.',
      secondsBuckets,
      [...modelNode, 'phase'],
    ),
    rate: histogram(
      'cortex_tokens_per_second',
      'Decoding rate of streams after their first token.',
      rateBuckets,
      modelNode,
    ),
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

const secs = (ms: number): number => ms / 1000;

export class GatewayMetrics {
  readonly #registry = new Registry();
  readonly #counters: ReturnType<typeof counters>;
  readonly #histograms: ReturnType<typeof histograms>;

  constructor(snapshot: () => FleetSnapshot) {
    this.#counters = counters(this.#registry);
    this.#histograms = histograms(this.#registry);
    gauges(this.#registry, snapshot);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** An inference request has ended. */
  observe(record: RequestRecord, durationMs: number): void {
    const labels = { model: record.model ?? 'unknown', node: record.node ?? 'none' };
    this.#counters.requests.inc(labels);
    this.#histograms.duration.observe(labels, secs(durationMs));
    if (record.error !== null) this.#counters.errors.inc({ ...labels, code: record.error.code });
    this.#observeFirstToken(record, labels);
    const { tokens } = record;
    if (tokens === null) return;
    this.#counters.promptTokens.inc(labels, tokens.prompt);
    this.#counters.completionTokens.inc(labels, tokens.completion);
    this.#counters.cachedTokens.inc(labels, tokens.cachedPrompt);
    const rate = decodeRate(tokens.completion, record.decodeMs);
    if (rate !== null) this.#histograms.rate.observe(labels, rate);
  }

  notice(notice: FleetNotice): void {
    if (notice.kind === 'load_finished') this.#counters.coldStarts.inc({ model: notice.model, node: notice.node });
    if (notice.kind === 'evicted') this.#counters.evictions.inc({ model: notice.model, node: notice.node });
  }

  #observeFirstToken(record: RequestRecord, labels: { readonly model: string; readonly node: string }): void {
    const { firstToken } = this.#histograms;
    if (record.firstTokenMs !== null) firstToken.observe({ ...labels, phase: 'total' }, secs(record.firstTokenMs));
    if (record.nAttempts === 0) return;
    firstToken.observe({ ...labels, phase: 'queue' }, secs(record.queueMs));
    firstToken.observe({ ...labels, phase: 'load' }, secs(record.loadMs));
    if (record.prefillMs !== null) firstToken.observe({ ...labels, phase: 'prefill' }, secs(record.prefillMs));
  }
}
