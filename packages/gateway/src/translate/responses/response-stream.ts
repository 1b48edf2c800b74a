/**
 * A node's chat stream as the Responses protocol's events. Invariant: `sequence_number` counts every event from 0,
 * one output item is open at a time, and nothing is written before the first piece of answer, as until then the proxy
 * may turn to another node.
 */
import type { CortexError } from '@cortex/core';
import {
  sseComment,
  sseEvent,
  type ChatChunk,
  type OutputItem,
  type ResponseObject,
  type ResponsesEvent,
} from '@cortex/core';
import { brokenCall } from '../call-arguments.ts';
import { CallOrder } from '../call-order.ts';
import {
  endedUnsaid,
  readChunk,
  type AnswerFinish,
  type AnswerPiece,
  type AnswerReading,
  type AnswerUsage,
} from '../chat-answer.ts';
import type { StreamTranslator, WaitNotice } from '../contract.ts';
import { noticeText } from '../passthrough.ts';
import { deltaEvent, closingEvents, openingEvents } from './item-events.ts';
import {
  createdOf,
  isCutShort,
  newDraft,
  toItem,
  toResponse,
  type Draft,
  type ResponseFrame,
} from './response-object.ts';

interface State {
  nEvents: number;
  /** Null: nothing was written yet. */
  created: number | null;
  open: Draft | null;
  /** Closed items. */
  readonly output: OutputItem[];
  /** Calls that were begun; none is begun again. */
  readonly calls: Set<number>;
  readonly order: CallOrder;
  finish: AnswerFinish | null;
  usage: AnswerUsage | null;
}

const newState = (): State => ({
  nEvents: 0,
  created: null,
  open: null,
  output: [],
  calls: new Set(),
  order: new CallOrder(),
  finish: null,
  usage: null,
});

const nothingRead: AnswerReading = { pieces: [], finish: null, usage: null, created: null };

export class ResponseStream implements StreamTranslator {
  readonly #frame: ResponseFrame;
  #state = newState();

  constructor(frame: ResponseFrame) {
    this.#frame = frame;
  }

  keepalive(notice: WaitNotice): string {
    return sseComment(noticeText(notice));
  }

  fail(error: CortexError): string {
    const begun = this.#begin(nothingRead, ['response.created']);
    const { open, output } = this.#state;
    const partial = open === null ? output : [...output, toItem(open, 'incomplete', this.#frame)];
    const response = this.#response('failed', {
      output: partial,
      error: { code: error.code, message: error.message },
    });
    return begun + this.#write({ type: 'response.failed', response });
  }

  chunk(chunk: ChatChunk): string {
    const fresh = this.#state.created === null;
    try {
      return this.#take(readChunk(chunk));
    } catch (thrown) {
      // Of a node that fails with its first piece the client sees nothing, and the next one begins anew.
      if (fresh) this.#state = newState();
      throw thrown;
    }
  }

  end(): string {
    const { finish, usage } = this.#state;
    if (finish === null) throw endedUnsaid();
    const status = isCutShort(finish) ? 'incomplete' : 'completed';
    const closed = this.#close(status);
    return closed + this.#write({ type: `response.${status}`, response: this.#response(status, { finish, usage }) });
  }

  #take(reading: AnswerReading): string {
    const { pieces, finish, usage } = reading;
    this.#state.usage = usage ?? this.#state.usage;
    if (pieces.length === 0 && finish === null) return '';
    let written = this.#begin(reading, ['response.created', 'response.in_progress']);
    for (const piece of this.#state.order.take(pieces)) written += this.#piece(piece);
    if (finish === null) return written;
    for (const piece of this.#state.order.end()) written += this.#piece(piece);
    this.#state.finish = finish;
    return written + this.#close(isCutShort(finish) ? 'incomplete' : 'completed');
  }

  #begin(reading: AnswerReading, types: readonly ('response.created' | 'response.in_progress')[]): string {
    if (this.#state.created !== null) return '';
    this.#state.created = createdOf(reading);
    const response = this.#response('in_progress');
    return types.map((type) => this.#write({ type, response })).join('');
  }

  #piece(piece: AnswerPiece): string {
    const opened = this.#opened(piece);
    const { open } = this.#state;
    const text = piece.kind === 'call' ? piece.arguments : piece.text;
    if (open === null || text === '') return opened;
    open.text += text;
    return opened + this.#write(deltaEvent(open, text, this.#state.output.length));
  }

  /** Opens an item for the piece unless the open one is its own. */
  #opened(piece: AnswerPiece): string {
    const { open, calls, output } = this.#state;
    const call = piece.kind === 'call' ? piece.index : -1;
    if (open?.kind === piece.kind && open.call === call) return '';
    if (piece.kind === 'call' && calls.has(call))
      throw brokenCall(piece.name ?? 'a function', 'was continued after another had begun');
    const closed = this.#close('completed');
    const draft = newDraft(piece, output.length, this.#frame);
    if (piece.kind === 'call') calls.add(call);
    this.#state.open = draft;
    const item = toItem(draft, 'in_progress', this.#frame);
    return closed + this.#writeAll(openingEvents(draft, item, output.length));
  }

  #close(status: 'completed' | 'incomplete'): string {
    const { open, output } = this.#state;
    if (open === null) return '';
    const item = toItem(open, status, this.#frame);
    const written = this.#writeAll(closingEvents(open, item, output.length));
    this.#state.open = null;
    output.push(item);
    return written;
  }

  #response(
    status: ResponseObject['status'],
    more: {
      readonly output?: readonly OutputItem[];
      readonly finish?: AnswerFinish;
      readonly usage?: AnswerUsage | null;
      readonly error?: ResponseObject['error'];
    } = {},
  ): ResponseObject {
    const { created, output } = this.#state;
    return toResponse({ status, created: created ?? 0, output, ...more }, this.#frame);
  }

  #writeAll(events: readonly ResponsesEvent[]): string {
    return events.map((event) => this.#write(event)).join('');
  }

  #write(event: ResponsesEvent): string {
    const { type, ...members } = event;
    const written = sseEvent(type, { type, sequence_number: this.#state.nEvents, ...members });
    this.#state.nEvents += 1;
    return written;
  }
}
