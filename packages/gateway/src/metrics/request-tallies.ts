/**
 * What ended requests add up to, in plain numbers for each model and node, and as Prometheus text when it is scraped.
 * Kept apart from `prom-client`, whose look-ups by label cost a request more than its routing.
 * Text after the Prometheus exposition format, version 0.0.4.
 */
import { decodeRate, type RequestRecord } from '../proxy/exchange.ts';

const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const rateBuckets = [1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 500, 1000];
const phases = ['total', 'queue', 'load', 'prefill'] as const;

const secs = (ms: number): number => ms / 1000;

class Distribution {
  readonly bounds: readonly number[];
  /** Of each bucket alone; beyond the last bound a value is only in `count`. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  add(value: number): void {
    this.sum += value;
    this.count += 1;
    const { bounds, counts } = this;
    for (let i = 0; i < bounds.length; i += 1) {
      if (value > (bounds[i] ?? Infinity)) continue;
      counts[i] = (counts[i] ?? 0) + 1;
      return;
    }
  }
}

class Tally {
  readonly labels: string;
  requests = 0;
  promptTokens = 0;
  completionTokens = 0;
  cachedTokens = 0;
  readonly errors = new Map<string, number>();
  readonly duration = new Distribution(secondsBuckets);
  readonly rate = new Distribution(rateBuckets);
  readonly firstToken = {
    total: new Distribution(secondsBuckets),
    queue: new Distribution(secondsBuckets),
    load: new Distribution(secondsBuckets),
    prefill: new Distribution(secondsBuckets),
  };

  constructor(labels: string) {
    this.labels = labels;
  }

  add(record: RequestRecord, durationMs: number): void {
    this.requests += 1;
    this.duration.add(secs(durationMs));
    if (record.error !== null) this.errors.set(record.error.code, (this.errors.get(record.error.code) ?? 0) + 1);
    if (record.firstTokenMs !== null) this.firstToken.total.add(secs(record.firstTokenMs));
    if (record.nAttempts > 0 || record.wait !== null) {
      this.firstToken.queue.add(secs(record.queueMs));
      this.firstToken.load.add(secs(record.loadMs));
      if (record.prefillMs !== null) this.firstToken.prefill.add(secs(record.prefillMs));
    }
    const { tokens } = record;
    if (tokens === null) return;
    this.promptTokens += tokens.prompt;
    this.completionTokens += tokens.completion;
    this.cachedTokens += tokens.cachedPrompt;
    const rate = decodeRate(tokens.completion, record.decodeMs);
    if (rate !== null) this.rate.add(rate);
  }
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const distributionLines = (name: string, labels: string, { bounds, counts, sum, count }: Distribution): string[] => {
  if (count === 0) return [];
  let below = 0;
  const buckets = bounds.map((bound, i) => {
    below += counts[i] ?? 0;
    return `${name}_bucket{le="${bound}",${labels}} ${below}`;
  });
  const infinite = `${name}_bucket{le="+Inf",${labels}} ${count}`;
  return [...buckets, infinite, `${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${count}`];
};

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'histogram';
  lines(name: string, tally: Tally): readonly string[];
}

const counter = (name: string, help: string, read: (tally: Tally) => number | null): Metric => ({
  name,
  help,
  type: 'counter',
  lines: (own, tally) => {
    const value = read(tally);
    return value === null ? [] : [`${own}{${tally.labels}} ${value}`];
  },
});

const histogram = (name: string, help: string, read: (tally: Tally) => Distribution): Metric => ({
  name,
  help,
  type: 'histogram',
  lines: (own, tally) => distributionLines(own, tally.labels, read(tally)),
});

const metrics: readonly Metric[] = [
  counter('cortex_requests_total', 'Inference requests that have ended, however they ended.', (one) => one.requests),
  {
    name: 'cortex_request_errors_total',
    help: 'Of those, the ones that failed or were aborted, by error code.',
    type: 'counter',
    lines: (name, { labels, errors }) =>
      Array.from(errors, ([code, value]) => `${name}{${labels},code="${escaped(code)}"} ${value}`),
  },
  counter(
    'cortex_prompt_tokens_total',
    'Prompt tokens, as the nodes reported them; at the least, where a request ended before an engine did.',
    (one) => one.promptTokens,
  ),
  counter(
    'cortex_completion_tokens_total',
    'Answer tokens; pieces of the stream where a request ended before its node reported them.',
    (one) => one.completionTokens,
  ),
  counter('cortex_cached_prompt_tokens_total', 'Prompt tokens that a prefix cache held.', (one) => one.cachedTokens),
  histogram('cortex_request_duration_seconds', "From a request's arrival to its end.", (one) => one.duration),
  {
    name: 'cortex_time_to_first_token_seconds',
    help:
      'Phase "total" from arrival to the first token of a stream, and its parts "queue", "load" and "prefill". ' +
      'A request that ended before its first token has the parts it came to, a whole answer the first two.',
    type: 'histogram',
    lines: (name, { labels, firstToken }) =>
      phases.flatMap((phase) => distributionLines(name, `${labels},phase="${phase}"`, firstToken[phase])),
  },
  histogram('cortex_tokens_per_second', 'Decoding rate of streams after their first token.', (one) => one.rate),
];

export class RequestTallies {
  readonly #tallies = new Map<string, Map<string, Tally>>();

  add(record: RequestRecord, durationMs: number): void {
    this.#tally(record.model ?? 'unknown', record.node ?? 'none').add(record, durationMs);
  }

  /** Every metric with its series so far, each line ended. */
  text(): string {
    const tallies = [...this.#tallies.values()].flatMap((nodes) => [...nodes.values()]);
    const lines = metrics.flatMap((metric) => [
      `# HELP ${metric.name} ${metric.help}`,
      `# TYPE ${metric.name} ${metric.type}`,
      ...tallies.flatMap((tally) => metric.lines(metric.name, tally)),
      '',
    ]);
    return `${lines.join('\n')}\n`;
  }

  #tally(model: string, node: string): Tally {
    const nodes = this.#tallies.get(model);
    const known = nodes?.get(node);
    if (known !== undefined) return known;
    const tally = new Tally(`model="${escaped(model)}",node="${escaped(node)}"`);
    if (nodes === undefined) this.#tallies.set(model, new Map([[node, tally]]));
    else nodes.set(node, tally);
    return tally;
  }
}
