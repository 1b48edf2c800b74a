/**
 * One server-sent-event answer. Never buffers more than the socket's own high-water mark: `write` resolves when the
 * client has made room, and a client that makes none for `stallMs` is cut off.
 */
import type { ServerResponse } from 'node:http';
import { CortexError, sseComment, sseHeaders } from '@cortex/core';

export interface EventStreamOptions {
  /** After this long without a byte a comment line is sent. */
  readonly keepaliveMs: number;
  readonly stallMs: number;
  readonly signal: AbortSignal;
}

export class EventStream {
  readonly #response: ServerResponse;
  readonly #options: EventStreamOptions;
  readonly #timer: NodeJS.Timeout;
  #note = 'waiting';

  /** Sends the headers: from here on the status is 200. */
  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>, options: EventStreamOptions) {
    this.#response = response;
    this.#options = options;
    response.writeHead(200, { ...sseHeaders, ...headers });
    response.flushHeaders();
    this.#timer = setInterval(() => this.#keepAlive(), options.keepaliveMs);
  }

  /** What the next keepalive comment says: `prefill 512/2048`. */
  get note(): string {
    return this.#note;
  }

  set note(text: string) {
    this.#note = text;
  }

  #keepAlive(): void {
    // A full socket needs no keepalive, and a comment more would only be buffered.
    if (!this.#response.writableNeedDrain && !this.#response.destroyed) this.#response.write(sseComment(this.#note));
  }

  /** @throws the signal's reason once the client has left, or `client_closed_request` when it stopped reading. */
  async write(frames: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#timer.refresh();
    if (!this.#response.write(frames)) await this.#drained();
  }

  /** Ends the answer. The last frame goes the same way as the others but waits for nobody. */
  end(lastFrame: string): void {
    clearInterval(this.#timer);
    if (!this.#response.destroyed) this.#response.end(lastFrame);
  }

  #drained(): Promise<void> {
    const response = this.#response;
    const { signal, stallMs } = this.#options;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        response.off('drain', onDrain);
      };
      const onDrain = (): void => {
        settle();
        resolve();
      };
      const onAbort = (): void => {
        settle();
        reject(CortexError.from(signal.reason));
      };
      const timer = setTimeout(() => {
        settle();
        response.destroy();
        reject(new CortexError('client_closed_request', `the client read nothing for ${stallMs / 1000} s`));
      }, stallMs);
      signal.addEventListener('abort', onAbort);
      response.once('drain', onDrain);
    });
  }
}
