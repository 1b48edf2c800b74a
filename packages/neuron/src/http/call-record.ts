/** What one request did, gathered while it runs: the log line and the metrics are made from it. */
import { errorTable, type CompletionEvent, type CortexError, type ErrorCode, type Usage } from '@cortex/core';

export type InferenceRoute = 'chat' | 'completions' | 'embeddings' | 'tokenize';

export class CallRecord {
  readonly requestId: string;
  readonly startedMs = performance.now();
  /** As the client wrote it; only a model that accepted the request is safe as a metric's label. */
  model: string | null = null;
  /** Null for what is no inference: only its requests are what the metrics count. */
  readonly route: InferenceRoute | null;
  stream = false;
  bodyBytesHeld = 0;
  accepted = false;
  promptTokens = 0;
  cachedTokens = 0;
  completionTokens = 0;
  draftedTokens = 0;
  draftedRightTokens = 0;
  ttftMs: number | null = null;
  error: CortexError | null = null;

  constructor(requestId: string, route: InferenceRoute | null) {
    this.requestId = requestId;
    this.route = route;
  }

  /** What it asks for is known. */
  begin(model: string, stream: boolean): void {
    this.model = model;
    this.stream = stream;
  }

  note(event: CompletionEvent): void {
    switch (event.kind) {
      case 'accepted':
        this.accepted = true;
        this.promptTokens = event.promptTokens;
        return;
      case 'text':
      case 'reasoning':
      case 'tool_call':
        this.ttftMs ??= performance.now() - this.startedMs;
        // Pieces stand in for tokens until the usage is known; for an aborted request they are all there is.
        this.completionTokens += 1;
        return;
      case 'usage':
        this.promptTokens = event.usage.prompt_tokens;
        this.cachedTokens = event.usage.prompt_tokens_details?.cached_tokens ?? 0;
        this.completionTokens = event.usage.completion_tokens;
        this.#noteGuesses(event.usage.completion_tokens_details);
        return;
      case 'loading':
      case 'prefill':
      case 'logprobs':
      case 'finish':
    }
  }

  #noteGuesses(details: Usage['completion_tokens_details']): void {
    this.draftedRightTokens = details?.accepted_prediction_tokens ?? 0;
    this.draftedTokens = this.draftedRightTokens + (details?.rejected_prediction_tokens ?? 0);
  }

  get elapsedMs(): number {
    return performance.now() - this.startedMs;
  }
}

/** Passes events through, noting each; what the consumer does not take is not taken from the source. */
export async function* noting(
  events: AsyncIterable<CompletionEvent>,
  record: CallRecord,
): AsyncGenerator<CompletionEvent, void, undefined> {
  for await (const event of events) {
    record.note(event);
    yield event;
  }
}

export type CallOutcome =
  | { readonly kind: 'done'; readonly status: number }
  | { readonly kind: 'error'; readonly status: number; readonly code: ErrorCode }
  | { readonly kind: 'cancelled'; readonly status: 499 };

/** A stream that failed midway keeps its 200 but is an error all the same. */
export const outcomeOf = (record: CallRecord, status: number, finished: boolean): CallOutcome => {
  const code = record.error?.code;
  if (code === 'client_closed_request' || (code === undefined && !finished)) return { kind: 'cancelled', status: 499 };
  if (code !== undefined) return { kind: 'error', status: finished ? status : errorTable[code].status, code };
  return { kind: 'done', status };
};
