/**
 * The client's side of one exchange: when its headers go out, keepalives while nothing else does, backpressure, and
 * its leaving. Invariant: what is written after the headers is whole events or whole pieces of one body, and the
 * exchange ends in exactly one of `end`, `sendJson`, `abandon`, or the client's leaving.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { CortexError } from '@cortex/core';
import type { WaitNotice } from '../translate/contract.ts';
import { ClientLeaving } from './client-leaving.ts';

/** A client that takes nothing for this long is gone, whatever its socket says. */
const clientStallMs = 300_000;

const noop = (): void => undefined;

type Piece = Buffer | string;

const joined = (pieces: readonly Piece[]): Piece => {
  const [only = ''] = pieces;
  if (pieces.length <= 1) return only;
  if (pieces.every((piece) => typeof piece === 'string')) return pieces.join('');
  return Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
};

/** What a silence is filled with, and the headers of an answer that begins so. */
export interface Keepalive {
  readonly headers: OutgoingHttpHeaders;
  readonly everyMs: number;
  text(notice: WaitNotice): string;
}

export class ClientReply {
  readonly #res: ServerResponse;
  readonly #leaving = new ClientLeaving();
  readonly #headers: OutgoingHttpHeaders = {};
  readonly #trailers: Record<string, string> = {};
  /** Written in this turn of the event loop. */
  #pieces: Piece[] = [];
  #nPending = 0;
  #keepalive: NodeJS.Timeout | null = null;
  #notice: WaitNotice = { kind: 'prefill', text: null };
  #ended = false;
  /** Something of the answer itself has been written. */
  #begun = false;
  #waiting = false;

  constructor(res: ServerResponse) {
    this.#res = res;
    res.once('close', this.#closed);
    // A write to a socket that has just gone is reported by `close` already.
    res.on('error', noop);
    // It may have left while its body was being read.
    if (res.destroyed) this.#closed();
  }

  /** Aborted, with a CortexError as its reason, when the client leaves or the gateway stops. */
  get signal(): ClientLeaving {
    return this.#leaving;
  }

  /** The status line is out: an error can only be said in the answer itself. */
  get opened(): boolean {
    return this.#res.headersSent;
  }

  /** A header of the answer, whenever that begins. */
  header(name: string, value: string): void {
    this.#headers[name] = value;
  }

  /** Takes a header back; too late once the answer has begun. */
  dropHeader(name: string): void {
    delete this.#headers[name];
  }

  /** From now on a silence is filled, opening the answer if it has to. */
  keepAlive({ headers, everyMs, text }: Keepalive): void {
    this.#keepalive = setTimeout(() => {
      if (this.#ended) return;
      this.open(headers);
      // A client that does not read needs no sign of life, and would only pile them up.
      if (!this.#res.writableNeedDrain) this.#res.write(text(this.#notice));
      this.#keepalive?.refresh();
    }, everyMs);
  }

  /** What the next keepalive tells. */
  note(notice: WaitNotice): void {
    this.#notice = notice;
  }

  /** Sends a 200 and its headers, if they are not out yet. */
  open(headers: OutgoingHttpHeaders): void {
    if (!this.opened) this.#res.writeHead(200, { ...headers, ...this.#headers });
  }

  /** What one turn of the event loop writes goes out together when it ends: one chunk, however many events. */
  write(piece: Piece): void {
    if (piece.length === 0) return;
    this.#begun = true;
    if (this.#pieces.length === 0) process.nextTick(this.#flush);
    this.#pieces.push(piece);
    this.#nPending += piece.length;
  }

  /** A header that comes too late is sent after the body: `keepAlive` must have named it as a `trailer`. */
  trailer(name: string, value: string): void {
    this.#trailers[name] = value;
  }

  get full(): boolean {
    return this.#res.writableNeedDrain || this.#nPending >= this.#res.writableHighWaterMark;
  }

  /** Calls `resume` once, when the client has taken what was written; never, if it leaves or one waits already. */
  whenDrained(resume: () => void): void {
    if (this.#waiting) return;
    this.#waiting = true;
    const settle = (): void => {
      this.#waiting = false;
      clearTimeout(timer);
      this.#res.off('drain', onDrain);
      this.signal.removeEventListener('abort', settle);
    };
    const onDrain = (): void => {
      settle();
      resume();
    };
    const timer = setTimeout(() => {
      this.#leaving.abort(new CortexError('client_closed_request', 'the client stopped reading'));
      this.#res.destroy();
    }, clientStallMs);
    this.#res.once('drain', onDrain);
    this.signal.addEventListener('abort', settle);
  }

  end(last: Piece = ''): void {
    this.#stop();
    this.#pieces.push(last);
    this.#res.end(this.#take());
  }

  /** A whole answer that is no stream. After keepalives its headers and status are what they were. */
  sendJson(body: Piece, headers: OutgoingHttpHeaders = {}, status = 200): void {
    this.#stop();
    if (this.opened) this.#res.addTrailers(this.#trailers);
    else
      this.#res.writeHead(status, {
        'content-type': 'application/json; charset=utf-8',
        ...headers,
        ...this.#headers,
        'content-length': Buffer.byteLength(body),
      });
    this.#res.end(body);
  }

  /**
   * The body broke where its protocol has no word for it: the connection ends, so that it can't pass for whole.
   * @param why is said if nothing of an answer was
   */
  abandon(why = ''): void {
    this.#stop();
    const destroy = (): void => void this.#res.destroy();
    if (why === '' || this.#begun) destroy();
    else this.#res.write(why, destroy);
  }

  /** The gateway ends the exchange. */
  abort(reason: CortexError): void {
    this.#leaving.abort(reason);
  }

  readonly #flush = (): void => {
    if (this.#ended) return;
    this.#keepalive?.refresh();
    this.#res.write(this.#take());
  };

  #take(): Piece {
    const piece = joined(this.#pieces);
    this.#pieces = [];
    this.#nPending = 0;
    return piece;
  }

  #stop(): void {
    this.#ended = true;
    if (this.#keepalive !== null) clearTimeout(this.#keepalive);
    this.#keepalive = null;
  }

  readonly #closed = (): void => {
    this.#stop();
    if (!this.#res.writableFinished) this.#leaving.abort(new CortexError('client_closed_request', 'the client left'));
  };
}
