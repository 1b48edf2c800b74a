/** What the clients of a soak have seen, held against what the neuron says it has done. */
import { sumOf, type Scrape } from './process-readings.ts';
import type { Outcome } from './exchange.ts';
import type { PlannedQuestion } from './traffic.ts';

interface Whole {
  readonly choices?: readonly { readonly message?: { readonly content?: string | null } }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  } | null;
}

/** At most so many faults are kept: the first say enough. */
const faultsMax = 20;

export class Ledger {
  readonly faults: string[] = [];
  readonly kinds = new Map<string, number>();
  readonly errors = new Map<string, number>();
  nDone = 0;
  nCancelled = 0;
  promptTokens = 0;
  cachedTokens = 0;
  completionTokens = 0;
  readonly #greedy = new Map<string, string>();
  #nCompared = 0;

  get nErrors(): number {
    return [...this.errors.values()].reduce((sum, n) => sum + n, 0);
  }

  get nAll(): number {
    return this.nDone + this.nErrors + this.nCancelled;
  }

  /** Greedy answers that were held against an earlier one. */
  get nCompared(): number {
    return this.#nCompared;
  }

  fault(text: string): void {
    if (this.faults.length < faultsMax) this.faults.push(text);
  }

  note(question: PlannedQuestion, outcome: Outcome): void {
    this.kinds.set(question.kind, (this.kinds.get(question.kind) ?? 0) + 1);
    switch (outcome.kind) {
      case 'done':
        this.nDone += 1;
        this.#answered(question, outcome.answer);
        break;
      case 'error':
        this.errors.set(outcome.code, (this.errors.get(outcome.code) ?? 0) + 1);
        this.#refused(question, outcome);
        break;
      case 'cancelled':
        this.nCancelled += 1;
        break;
      case 'broken':
        this.fault(`${question.kind}: ${outcome.why}`);
        break;
    }
  }

  #answered({ kind, sameAs, refusals, path }: PlannedQuestion, answer: Whole): void {
    if (kind === 'mistaken') this.fault(`answered, where ${refusals.join(' or ')} was due`);
    if (path === '/tokenize') return;
    const { usage } = answer;
    if (usage?.prompt_tokens === undefined) this.fault(`${kind}: an answer without usage`);
    const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
    if (cached >= (usage?.prompt_tokens ?? Infinity))
      this.fault(`${kind}: ${cached} cached of ${usage?.prompt_tokens}`);
    this.promptTokens += usage?.prompt_tokens ?? 0;
    this.cachedTokens += cached;
    this.completionTokens += usage?.completion_tokens ?? 0;
    if (sameAs !== null) this.#compare(kind, sameAs, answer.choices?.[0]?.message?.content ?? '');
  }

  #compare(kind: string, sameAs: string, text: string): void {
    const before = this.#greedy.get(sameAs);
    this.#greedy.set(sameAs, before ?? text);
    if (before === undefined) return;
    this.#nCompared += 1;
    if (before !== text) this.fault(`${kind}: ${JSON.stringify(text)} was ${JSON.stringify(before)} before`);
  }

  #refused({ kind, refusals }: PlannedQuestion, { code, status, retryAfter }: Outcome & { kind: 'error' }): void {
    if (!refusals.includes(code)) this.fault(`${kind}: ${status} ${code}, where ${refusals.join(', ')} may be`);
    if ((status === 429 || status === 503) && !(Number(retryAfter) >= 1)) this.fault(`${code} without Retry-After`);
  }
}

/** Of one outcome, as the neuron counts it, or of all. */
const counted = (samples: Scrape, outcome?: string): number =>
  [...samples].reduce((sum, [key, value]) => {
    const isIt =
      key.startsWith('neuron_requests_total{') && (outcome === undefined || key.includes(`outcome="${outcome}"`));
    return isIt ? sum + value : sum;
  }, 0);

/**
 * What does not add up. Each request has one outcome on either side; one that its client left may have been answered
 * in the same moment.
 */
export const differences = (ledger: Ledger, before: Scrape, after: Scrape): readonly string[] => {
  const found: string[] = [];
  const since = (count: (samples: Scrape) => number): number => count(after) - count(before);
  const all = since((samples) => counted(samples));
  if (all !== ledger.nAll) found.push(`the clients sent ${ledger.nAll} requests, the neuron counts ${all}`);
  const between = (what: string, theirs: number, ours: number): void => {
    if (theirs < ours || theirs > ours + ledger.nCancelled)
      found.push(`${what}: ${ours} seen, the neuron counts ${theirs}`);
  };
  between(
    'answered',
    since((samples) => counted(samples, 'done')),
    ledger.nDone,
  );
  between(
    'refused',
    since((samples) => counted(samples, 'error')),
    ledger.nErrors,
  );
  for (const [code, n] of ledger.errors) {
    const ofCode = (samples: Scrape): number =>
      [...samples].reduce(
        (sum, [key, value]) =>
          key.startsWith('neuron_request_errors_total') && key.includes(`"${code}"`) ? sum + value : sum,
        0,
      );
    between(code, since(ofCode), n);
  }
  for (const [name, n] of [
    ['neuron_prompt_tokens_total', ledger.promptTokens],
    ['neuron_cached_prompt_tokens_total', ledger.cachedTokens],
    ['neuron_completion_tokens_total', ledger.completionTokens],
  ] as const) {
    const theirs = since((samples) => sumOf(samples, name));
    if (theirs < n) found.push(`${name} rose by ${theirs}, the answers say ${n}`);
  }
  return found;
};
