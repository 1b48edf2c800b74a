/**
 * One node's event stream to the client. Until the first piece of answer nothing of it is sent on, so that another
 * node can still take over; from then on every event goes out as it comes. Invariant: only the node's own `[DONE]`
 * ends the client's stream well.
 */
import { CortexError, sseHeaders } from '@cortex/core';
import type { Dispatcher } from 'undici';
import type { Exchange } from './exchange.ts';
import { addsUsage } from './forward-body.ts';
import { answerHeaders } from './hop-headers.ts';
import type { ProxySettings } from './settings.ts';
import type { SilenceWatch } from './silence-watch.ts';
import { SseFrames, type SseFrame } from './sse-frames.ts';
import { StreamTap, type Heard } from './stream-tap.ts';

type Piece = Buffer | string;
/** What the client is to see of an event. */
type Render = (frame: SseFrame, heard: Heard) => Piece;

/** More than this before any answer is no opening: it is sent on. */
const heldBytesMax = 64 * 1024;
/** For a node to close its stream after `[DONE]`, so that the connection can be used again. */
const closeMs = 1000;

const renderFor = (exchange: Exchange): Render => {
  const { reply } = exchange.translation;
  if (reply.kind === 'passthrough') {
    const hidesUsage = addsUsage(exchange);
    return (frame, heard) => (hidesUsage && heard.kind === 'chunk' && heard.part === 'usage' ? '' : frame.bytes);
  }
  const { stream } = reply;
  if (stream === null) throw new Error(`${exchange.dialect.name}: a stream was forwarded for a whole answer`);
  return (_frame, heard) => {
    if (heard.kind === 'chunk') return stream.chunk(heard.chunk);
    return heard.kind === 'done' ? stream.end() : stream.keepalive({ kind: 'prefill', text: heard.text });
  };
};

export class StreamRelay {
  readonly #exchange: Exchange;
  readonly #settings: ProxySettings;
  readonly #watch: SilenceWatch;
  readonly #node: string;
  readonly #tap: StreamTap;
  readonly #render: Render;
  readonly #held: Piece[] = [];
  #heldBytes = 0;
  #committed = false;
  #done = false;
  #askedMs = 0;

  constructor(exchange: Exchange, settings: ProxySettings, watch: SilenceWatch, node: string) {
    this.#exchange = exchange;
    this.#settings = settings;
    this.#watch = watch;
    this.#node = node;
    this.#tap = new StreamTap(node, () => performance.now());
    this.#render = renderFor(exchange);
  }

  /** True: the client has seen part of this node's answer. */
  get committed(): boolean {
    return this.#committed;
  }

  /** Resolves when the answer is complete. @throws what broke it. */
  async run(ask: () => Promise<Dispatcher.ResponseData>): Promise<void> {
    this.#askedMs = performance.now();
    this.#watch.expect('token', this.#settings.firstTokenTimeoutMs);
    try {
      await this.#relay(await ask());
    } finally {
      this.#record();
    }
  }

  async #relay(answer: Dispatcher.ResponseData): Promise<void> {
    const frames = new SseFrames();
    try {
      for await (const chunk of answer.body) if (!this.#done) await this.#pass(frames.push(chunk as Buffer), answer);
    } catch (thrown) {
      // After `[DONE]` the client has its whole answer, however the node closes.
      if (!this.#done) throw thrown;
    }
    if (this.#done) return;
    throw new CortexError('upstream_disconnected', `node ${this.#node} ended its stream before it was complete`, {
      facts: { node: this.#node },
    });
  }

  #record(): void {
    const { record } = this.#exchange;
    const { firstTokenMs } = this.#tap;
    record.prefillMs = (firstTokenMs ?? performance.now()) - this.#askedMs;
    record.firstTokenMs = firstTokenMs === null ? null : firstTokenMs - record.startedMs;
    record.decodeMs = this.#tap.decodeMs;
    record.tokens = this.#tap.tokens;
  }

  async #pass(frames: readonly SseFrame[], answer: Dispatcher.ResponseData): Promise<void> {
    const { reply } = this.#exchange;
    this.#watch.alive();
    if (frames.length > 1) reply.cork();
    try {
      for (const frame of frames) if (!this.#done) this.#take(frame, answer);
    } finally {
      if (frames.length > 1) reply.uncork();
    }
    if (!reply.full || this.#done) return;
    this.#watch.pause();
    await reply.drained();
    this.#watch.expect('further token', this.#settings.tokenGapTimeoutMs);
  }

  #take(frame: SseFrame, answer: Dispatcher.ResponseData): void {
    const heard = this.#tap.read(frame);
    if (heard.kind === 'done') {
      this.#commit(answer);
      this.#done = true;
      // Whoever reads the record may do so as soon as the client has the end.
      this.#record();
      this.#exchange.reply.end(this.#render(frame, heard));
      this.#watch.expect('end of its stream', closeMs);
      return;
    }
    if (this.#committed) {
      this.#exchange.reply.write(this.#render(frame, heard));
      return;
    }
    if (heard.kind === 'alive') {
      // The client hears of it from our own keepalives, which do not commit us to this node.
      this.#exchange.reply.note({ kind: 'prefill', text: heard.text });
      return;
    }
    this.#hold(this.#render(frame, heard));
    if (heard.part === 'answer' || this.#heldBytes > heldBytesMax) this.#commit(answer);
  }

  #hold(piece: Piece): void {
    this.#held.push(piece);
    this.#heldBytes += piece.length;
  }

  #commit(answer: Dispatcher.ResponseData): void {
    if (this.#committed) return;
    this.#committed = true;
    const { reply, translation } = this.#exchange;
    const nodeHeaders = translation.reply.kind === 'passthrough' ? answerHeaders(answer.headers) : {};
    reply.open({ ...sseHeaders, ...nodeHeaders });
    for (const piece of this.#held) reply.write(piece);
    this.#held.length = 0;
    this.#watch.expect('further token', this.#settings.tokenGapTimeoutMs);
  }
}
