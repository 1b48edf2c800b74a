/**
 * One POST to a node. A 2xx answer is handed on piece by piece as the socket gives it, without a stream in between;
 * anything else becomes a CortexError. Invariant: the sink hears exactly one of `onEnd` and `onError`, and nothing
 * after it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { fromAnswer, retryAfterSecs } from './node-errors.ts';

export interface AnswerSink {
  onHead(headers: IncomingHttpHeaders): void;
  /** What it throws ends the call and comes back as `onError`. */
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: unknown): void;
}

interface Refusal {
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly pieces: Buffer[];
  nBytes: number;
}

const refusalBytesMax = 64 * 1024;

const first = (value: string | readonly string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : value?.[0];

export class NodeCall implements Dispatcher.DispatchHandler {
  readonly #node: string;
  readonly #sink: AnswerSink;
  #controller: Dispatcher.DispatchController | null = null;
  #refusal: Refusal | null = null;
  #abortReason: Error | null = null;
  #ended = false;

  constructor(node: string, sink: AnswerSink) {
    this.#node = node;
    this.#sink = sink;
  }

  /** The node is not read from until `resume`: its socket fills up, and it has to wait. */
  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Closes the connection, which is how a node learns that nobody wants its answer any more. */
  abort(reason: Error): void {
    this.#abortReason = reason;
    // While it still connects there is no controller: `onRequestStart` looks at the reason.
    this.#controller?.abort(reason);
    this.#fail(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#abortReason !== null) controller.abort(this.#abortReason);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Said in advance, such as 103: the answer itself is still to come.
    if (status < 200) return;
    if (status < 300) this.#hand(() => this.#sink.onHead(headers));
    else {
      const retryAfter = retryAfterSecs(first(headers['retry-after']), Date.now());
      this.#refusal = { status, retryAfter, pieces: [], nBytes: 0 };
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const refusal = this.#refusal;
    if (refusal === null) this.#hand(() => this.#sink.onData(chunk));
    else if (refusal.nBytes < refusalBytesMax) {
      refusal.pieces.push(chunk);
      refusal.nBytes += chunk.length;
    }
  }

  onResponseEnd(): void {
    if (this.#ended) return;
    const refusal = this.#refusal;
    if (refusal === null) {
      this.#ended = true;
      this.#sink.onEnd();
      return;
    }
    const body = Buffer.concat(refusal.pieces).toString('utf8');
    this.#fail(fromAnswer(refusal.status, body, this.#node, refusal.retryAfter));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  #hand(deliver: () => void): void {
    if (this.#ended) return;
    try {
      deliver();
    } catch (thrown) {
      this.abort(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sink.onError(error);
  }
}
