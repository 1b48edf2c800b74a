/**
 * Cuts a byte stream into whole server-sent events and keeps each event's bytes, so that they can be sent on
 * unchanged. Any split of the input into chunks gives the same events.
 * Follows the HTML standard's "parsing an event stream": lines end in LF, CR LF or CR; an empty line ends an event.
 */
import { CortexError } from '@cortex/core';

export interface SseFrame {
  /** With its closing empty line. */
  readonly bytes: Buffer;
  /** The `data` lines joined with LF; null for an event without any, such as a comment. */
  readonly data: string | null;
  /** The last comment line of the event, without its colon. */
  readonly comment: string | null;
}

const lf = 0x0a;
const cr = 0x0d;
const frameBytesMax = 64 * 1024 * 1024;

const valueAfter = (line: string, start: number): string => line.slice(line[start] === ' ' ? start + 1 : start);

const readFrame = (bytes: Buffer, text = bytes.toString('utf8')): SseFrame => {
  let data: string | null = null;
  let comment: string | null = null;
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line.startsWith('data:')) {
      const value = valueAfter(line, 5);
      data = data === null ? value : `${data}\n${value}`;
    } else if (line === 'data') data = data === null ? '' : `${data}\n`;
    else if (line.startsWith(':')) comment = valueAfter(line, 1);
  }
  return { bytes, data, comment };
};

const byteOrderMark = Buffer.from('\uFEFF');

/** A stream may begin with a mark, which is none of its first line. */
const withoutMark = (frame: SseFrame): SseFrame =>
  frame.bytes.subarray(0, 3).equals(byteOrderMark) ? readFrame(frame.bytes.subarray(3)) : frame;

/** One event as nearly all are, `data: …` and two line feeds, without looking for other lines. */
const readSimple = (bytes: Buffer, text: string): SseFrame => {
  const isOneLine = text.startsWith('data: ') && text.indexOf('\n') === text.length - 2;
  return isOneLine ? { bytes, data: text.slice(6, -2), comment: null } : readFrame(bytes, text);
};

/**
 * The events of a chunk that holds whole ones only, as nodes mostly send them: decoded at once and cut as text, which
 * is several times as fast as looking at each byte.
 * @returns null when it is no such chunk, or its characters can't be counted as bytes
 */
const readWhole = (chunk: Buffer): SseFrame[] | null => {
  const { length } = chunk;
  if (length < 2 || chunk[length - 1] !== lf || chunk[length - 2] !== lf) return null;
  const text = chunk.toString('utf8');
  if (text.includes('\r')) return null;
  let end = text.indexOf('\n\n') + 2;
  if (end === text.length) return [readSimple(chunk, text)];
  if (text.length !== length) return null;
  const frames: SseFrame[] = [];
  for (let start = 0; start < length; start = end) {
    const found = text.indexOf('\n\n', start);
    end = found < 0 ? length : found + 2;
    frames.push(readSimple(chunk.subarray(start, end), text.slice(start, end)));
  }
  return frames;
};

export class SseFrames {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #lineIsEmpty = true;
  #afterCr = false;
  #nothingYet = true;

  /** Bytes of an event that is not complete yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** The events that `chunk` completes, in order. @throws CortexError `upstream_error` for an event without end. */
  push(chunk: Buffer): SseFrame[] {
    const atStart = this.#pendingBytes === 0 && this.#lineIsEmpty && !this.#afterCr;
    const frames = (atStart ? readWhole(chunk) : null) ?? this.#scan(chunk);
    const first = this.#nothingYet ? frames[0] : undefined;
    if (first !== undefined) {
      this.#nothingYet = false;
      frames[0] = withoutMark(first);
    }
    return frames;
  }

  /** The stream is over: what came without its closing empty line, which it gets here; null: nothing did. */
  rest(): SseFrame | null {
    if (this.#pendingBytes === 0) return null;
    const close = this.#lineIsEmpty && !this.#afterCr ? '\n' : '\n\n';
    return readFrame(this.#take(Buffer.from(close)));
  }

  #scan(chunk: Buffer): SseFrame[] {
    const frames: SseFrame[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i += 1) {
      const byte = chunk[i];
      if (byte === lf && this.#afterCr) {
        this.#afterCr = false;
        continue;
      }
      this.#afterCr = byte === cr;
      if (byte !== lf && byte !== cr) {
        this.#lineIsEmpty = false;
        continue;
      }
      if (!this.#lineIsEmpty) {
        this.#lineIsEmpty = true;
        continue;
      }
      // The LF of a closing CR LF belongs to this event when it is here already; else it leads the next one.
      if (this.#afterCr && chunk[i + 1] === lf) {
        this.#afterCr = false;
        i += 1;
      }
      frames.push(readFrame(this.#take(chunk.subarray(start, i + 1))));
      start = i + 1;
    }
    if (start < chunk.length) this.#keep(start === 0 ? chunk : chunk.subarray(start));
    return frames;
  }

  #take(last: Buffer): Buffer {
    if (this.#pendingBytes === 0) return last;
    const bytes = Buffer.concat([...this.#pending, last]);
    this.#pending = [];
    this.#pendingBytes = 0;
    return bytes;
  }

  #keep(rest: Buffer): void {
    this.#pending.push(rest);
    this.#pendingBytes += rest.length;
    if (this.#pendingBytes <= frameBytesMax) return;
    throw new CortexError('upstream_error', `the node sent an event of more than ${frameBytesMax} bytes`);
  }
}
