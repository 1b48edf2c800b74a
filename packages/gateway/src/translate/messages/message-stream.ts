/**
 * A node's chat stream as Anthropic's events. Invariant: one block is open at a time, indices count up from 0, and
 * nothing is written before the first piece of answer, as until then the proxy may turn to another node.
 */
import type { CortexError } from '@cortex/core';
import {
  sseComment,
  sseEvent,
  type AnthropicBlock,
  type AnthropicDelta,
  type AnthropicEvent,
  type AnthropicUsage,
  type ChatChunk,
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
import { sealReasoning } from '../sealed-reasoning.ts';
import { callId, noUsage, type AnswerFrame } from './answer.ts';
import { toEnvelope } from './error-envelope.ts';
import { toStop, toUsage } from './figures.ts';

type OpenBlock =
  | { readonly kind: 'text' }
  | { readonly kind: 'reasoning'; hidden: string }
  | { readonly kind: 'call'; readonly index: number };

const write = (event: AnthropicEvent): string => sseEvent(event.type, event);

interface State {
  started: boolean;
  open: OpenBlock | null;
  /** Blocks that were closed: the index of the open one. */
  nBlocks: number;
  /** Indices of calls whose block was opened; none is opened again. */
  readonly calls: Set<number>;
  readonly order: CallOrder;
  finish: AnswerFinish | null;
  /** Of the answer so far: about its tokens, for engines that never tell. */
  nPieces: number;
  usage: AnswerUsage | null;
}

const newState = (): State => ({
  started: false,
  open: null,
  nBlocks: 0,
  calls: new Set(),
  order: new CallOrder(),
  finish: null,
  nPieces: 0,
  usage: null,
});

export interface MessageStreamOptions extends AnswerFrame {
  /** About the prompt's tokens, for engines that tell only at the end. */
  readonly roughPromptTokens: () => number;
}

export class MessageStream implements StreamTranslator {
  readonly #options: MessageStreamOptions;
  #state = newState();

  constructor(options: MessageStreamOptions) {
    this.#options = options;
  }

  keepalive(notice: WaitNotice): string {
    // The comment tells whoever looks at the stream; clients know `ping`.
    return sseComment(noticeText(notice)) + write({ type: 'ping' });
  }

  fail(error: CortexError): string {
    return write(toEnvelope(error));
  }

  chunk(chunk: ChatChunk): string {
    const fresh = !this.#state.started;
    try {
      return this.#take(readChunk(chunk));
    } catch (thrown) {
      // Of a node that fails with its first piece the client sees nothing, and the next one begins anew.
      if (fresh) this.#state = newState();
      throw thrown;
    }
  }

  end(): string {
    const { finish, calls } = this.#state;
    if (finish === null) throw endedUnsaid();
    const { stop_reason, stop_sequence } = toStop(finish, calls.size > 0, this.#options.stopSequences);
    return (
      this.#close() +
      write({ type: 'message_delta', delta: { stop_reason, stop_sequence }, usage: this.#usage() }) +
      write({ type: 'message_stop' })
    );
  }

  #usage(): AnthropicUsage {
    const { usage, nPieces } = this.#state;
    return toUsage(usage ?? { ...noUsage, prompt: this.#options.roughPromptTokens(), completion: nPieces });
  }

  #take({ pieces, finish, usage }: AnswerReading): string {
    this.#state.usage = usage ?? this.#state.usage;
    this.#state.nPieces += pieces.length;
    if (pieces.length === 0 && finish === null) return '';
    let written = this.#start();
    for (const piece of this.#state.order.take(pieces)) written += this.#piece(piece);
    if (finish === null) return written;
    for (const piece of this.#state.order.end()) written += this.#piece(piece);
    this.#state.finish = finish;
    return written + this.#close();
  }

  #start(): string {
    if (this.#state.started) return '';
    this.#state.started = true;
    const { messageId, model } = this.#options;
    return (
      write({
        type: 'message_start',
        message: {
          id: messageId,
          type: 'message',
          role: 'assistant',
          model,
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: this.#usage(),
        },
      }) + write({ type: 'ping' })
    );
  }

  #piece(piece: AnswerPiece): string {
    switch (piece.kind) {
      case 'reasoning':
        return this.#reasoning(piece.text);
      case 'call':
        return this.#call(piece);
      case 'text':
        break;
    }
    const opened = this.#opened({ kind: 'text' }, { type: 'text', text: '' });
    return opened + this.#delta({ type: 'text_delta', text: piece.text });
  }

  #reasoning(text: string): string {
    const { thinking } = this.#options;
    if (thinking === 'off') return '';
    const opened = this.#opened({ kind: 'reasoning', hidden: '' }, { type: 'thinking', thinking: '', signature: '' });
    if (thinking === 'shown') return opened + this.#delta({ type: 'thinking_delta', thinking: text });
    if (this.#state.open?.kind === 'reasoning') this.#state.open.hidden += text;
    return opened;
  }

  #call(piece: Extract<AnswerPiece, { kind: 'call' }>): string {
    const { index, name } = piece;
    let opened = '';
    if (this.#state.open?.kind !== 'call' || this.#state.open.index !== index) {
      if (this.#state.calls.has(index)) throw brokenCall(name ?? 'a tool', 'was continued after another had begun');
      if (name === null) throw brokenCall('a tool', 'began without its name');
      this.#state.calls.add(index);
      const id = piece.id ?? callId(this.#options.messageId, index);
      opened = this.#begin({ kind: 'call', index }, { type: 'tool_use', id, name, input: {} });
    }
    return piece.arguments === ''
      ? opened
      : opened + this.#delta({ type: 'input_json_delta', partial_json: piece.arguments });
  }

  /** Opens a block unless one of its kind is open. */
  #opened(open: OpenBlock, block: AnthropicBlock): string {
    return this.#state.open?.kind === open.kind ? '' : this.#begin(open, block);
  }

  #begin(open: OpenBlock, block: AnthropicBlock): string {
    const closed = this.#close();
    this.#state.open = open;
    return closed + write({ type: 'content_block_start', index: this.#state.nBlocks, content_block: block });
  }

  #delta(delta: AnthropicDelta): string {
    return write({ type: 'content_block_delta', index: this.#state.nBlocks, delta });
  }

  #close(): string {
    const open = this.#state.open;
    if (open === null) return '';
    const signature =
      open.kind === 'reasoning' ? this.#delta({ type: 'signature_delta', signature: sealReasoning(open.hidden) }) : '';
    const closed = signature + write({ type: 'content_block_stop', index: this.#state.nBlocks });
    this.#state.open = null;
    this.#state.nBlocks += 1;
    return closed;
  }
}
