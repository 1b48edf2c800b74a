/** The neuron's Prometheus metrics. Counters are fed by finished requests; gauges are read at each scrape. */
import type { DeviceHealth, Harness } from '@cortex/core';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CallOutcome, CallRecord } from './call-record.ts';

const secondsBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

type DeviceReader = () => Promise<readonly DeviceHealth[]>;

/** Both kinds of gauge are set just before a scrape, all from one reading. */
type Refresh = () => Promise<void>;

const modelGauges = (registry: Registry, harness: Harness): Refresh => {
  const make = (name: string, help: string): Gauge =>
    new Gauge({ name, help, labelNames: ['model'], registers: [registry] });
  const inFlight = make('neuron_model_in_flight', 'Requests being generated.');
  const queueDepth = make('neuron_model_queue_depth', 'Requests waiting for a place.');
  const rejected = make('neuron_model_rejected', 'Requests refused since start because the queue was full.');
  return async () => {
    for (const one of [inFlight, queueDepth, rejected]) one.reset();
    for (const activity of harness.activity()) {
      const model = activity.id;
      inFlight.set({ model }, activity.in_flight);
      queueDepth.set({ model }, activity.queue_depth);
      rejected.set({ model }, activity.rejected);
    }
  };
};

const deviceGauges = (registry: Registry, readDevices: DeviceReader): Refresh => {
  const make = (name: string, help: string): Gauge =>
    new Gauge({ name, help, labelNames: ['device'], registers: [registry] });
  const used = make('neuron_device_vram_used_mb', 'Memory in use on the device.');
  const free = make('neuron_device_vram_free_mb', 'Memory free on the device.');
  const utilization = make('neuron_device_utilization_pct', 'How busy the device is.');
  const temperature = make('neuron_device_temp_c', 'Temperature of the device.');
  const nativeBytes = make('neuron_device_native_bytes', 'Native memory that the engine itself holds for the device.');
  const nativeHandles = make(
    'neuron_device_native_handles',
    'Pieces of it: contexts, buffers, allocators, mapped files.',
  );
  const poisoned = make('neuron_device_poisoned', '1 once the device has failed and takes no more work.');
  return async () => {
    const readings = await readDevices();
    for (const one of [used, free, utilization, temperature, nativeBytes, nativeHandles, poisoned]) one.reset();
    for (const health of readings) {
      const device = String(health.index);
      used.set({ device }, health.vram_used_mb);
      free.set({ device }, health.vram_free_mb);
      poisoned.set({ device }, health.poisoned ? 1 : 0);
      nativeBytes.set({ device }, health.native_bytes ?? 0);
      nativeHandles.set({ device }, health.native_handles ?? 0);
      if (typeof health.utilization_pct === 'number') utilization.set({ device }, health.utilization_pct);
      if (typeof health.temp_c === 'number') temperature.set({ device }, health.temp_c);
    }
  };
};

export class NeuronMetrics {
  readonly #registry = new Registry();
  readonly #harness: Harness;
  readonly #refreshes: readonly Refresh[];
  readonly #requests: Counter;
  readonly #errors: Counter;
  readonly #duration: Histogram;
  readonly #ttft: Histogram;
  readonly #promptTokens: Counter;
  readonly #cachedTokens: Counter;
  readonly #completionTokens: Counter;
  readonly #draftedTokens: Counter;
  readonly #draftedRightTokens: Counter;

  constructor(harness: Harness, readDevices: DeviceReader) {
    this.#harness = harness;
    const registers = [this.#registry];
    const labelNames = ['model'];
    collectDefaultMetrics({ register: this.#registry });
    this.#refreshes = [modelGauges(this.#registry, harness), deviceGauges(this.#registry, readDevices)];
    this.#requests = new Counter({
      name: 'neuron_requests_total',
      help: 'Inference requests that ended, however they did.',
      labelNames: ['model', 'route', 'outcome'],
      registers,
    });
    this.#errors = new Counter({
      name: 'neuron_request_errors_total',
      help: 'Inference requests that ended in an error.',
      labelNames: ['model', 'code'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'neuron_request_duration_seconds',
      help: 'From the request to the end of its answer.',
      labelNames,
      buckets: secondsBuckets,
      registers,
    });
    this.#ttft = new Histogram({
      name: 'neuron_time_to_first_token_seconds',
      help: 'From the request to its first piece of text.',
      labelNames,
      buckets: secondsBuckets,
      registers,
    });
    const tokens = (name: string, help: string): Counter => new Counter({ name, help, labelNames, registers });
    this.#promptTokens = tokens('neuron_prompt_tokens_total', 'Prompt tokens, images counted.');
    this.#cachedTokens = tokens('neuron_cached_prompt_tokens_total', 'Prompt tokens taken from the prefix cache.');
    this.#completionTokens = tokens('neuron_completion_tokens_total', 'Tokens generated.');
    this.#draftedTokens = tokens('neuron_drafted_tokens_total', 'Tokens guessed ahead of an answer.');
    this.#draftedRightTokens = tokens('neuron_drafted_right_tokens_total', 'Of those, the ones that it came to say.');
  }

  /** Once per request, when its answer has ended; only inference is counted. */
  observe(record: CallRecord, outcome: CallOutcome): void {
    const { route } = record;
    if (route === null) return;
    const model = this.#label(record);
    this.#requests.inc({ model, route, outcome: outcome.kind });
    if (outcome.kind === 'error') this.#errors.inc({ model, code: outcome.code });
    this.#duration.observe({ model }, record.elapsedMs / 1000);
    if (record.ttftMs !== null) this.#ttft.observe({ model }, record.ttftMs / 1000);
    this.#promptTokens.inc({ model }, record.promptTokens);
    this.#cachedTokens.inc({ model }, record.cachedTokens);
    this.#completionTokens.inc({ model }, record.completionTokens);
    this.#draftedTokens.inc({ model }, record.draftedTokens);
    this.#draftedRightTokens.inc({ model }, record.draftedRightTokens);
  }

  /** A name that only a client knows would make a new time series for each of its inventions. */
  #label(record: CallRecord): string {
    const { model } = record;
    if (model === null) return 'unknown';
    return record.accepted || this.#harness.activity().some(({ id }) => id === model) ? model : 'unknown';
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    await Promise.all(this.#refreshes.map((refresh) => refresh()));
    return this.#registry.metrics();
  }
}
