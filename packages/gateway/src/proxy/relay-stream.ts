/**
 * One node's event stream to the client. Until the first piece of answer nothing of it is sent on, so that another
 * node can still take over; from then on every event goes out as it comes. Invariant: only the node's own `[DONE]`
 * ends the client's stream well.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { CortexError, promptTokensHeader, sseHeaders, textOf } from '@cortex/core';
import type { Exchange } from './exchange.ts';
import { addsUsage } from './forward-body.ts';
import { answerHeaders } from './hop-headers.ts';
import type { AnswerSink, NodeCall } from './node-call.ts';
import { fromNoStream } from './node-errors.ts';
import type { Relay, Settle } from './relay.ts';
import type { ProxySettings } from './settings.ts';
import { SilenceWatch } from './silence-watch.ts';
import { SseFrames, type SseFrame } from './sse-frames.ts';
import { StreamTap, type Heard } from './stream-tap.ts';

type Piece = Buffer | string;
/** What the client is to see of an event. */
type Render = (frame: SseFrame, heard: Heard) => Piece;

/** More than this before any answer is no opening: it is sent on. */
const heldBytesMax = 64 * 1024;
/** For a node to close its stream after `[DONE]`, so that the connection can be used again. */
const closeMs = 1000;
const noBytes = Buffer.alloc(0);

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

const saidNothing = (node: string): CortexError =>
  new CortexError('upstream_error', `node ${node} said it was done before it had answered`, { facts: { node } });

const cutShort = (node: string): CortexError =>
  new CortexError('upstream_disconnected', `node ${node} ended its stream before it was complete`, { facts: { node } });

export class StreamRelay implements Relay {
  readonly #exchange: Exchange;
  readonly #settings: ProxySettings;
  readonly #node: string;
  readonly #watch: SilenceWatch;
  readonly #tap: StreamTap;
  readonly #render: Render;
  readonly #frames = new SseFrames();
  readonly #held: { readonly frame: SseFrame; readonly heard: Heard }[] = [];
  #settle: Settle | null = null;
  #call: NodeCall | null = null;
  #nodeHeaders: IncomingHttpHeaders = {};
  #heldBytes = 0;
  #heardAny = false;
  #committed = false;
  #done = false;
  #askedMs = 0;

  constructor(exchange: Exchange, settings: ProxySettings, node: string) {
    this.#exchange = exchange;
    this.#settings = settings;
    this.#node = node;
    this.#tap = new StreamTap(node, () => performance.now());
    this.#render = renderFor(exchange);
    this.#watch = new SilenceWatch(exchange.reply.signal, node, (reason) => this.#call?.abort(reason));
  }

  get committed(): boolean {
    return this.#committed;
  }

  doubt(sinceMs: number, another: () => boolean): void {
    if (!this.#committed) this.#watch.doubt(sinceMs, another);
  }

  async run(send: (sink: AnswerSink) => NodeCall): Promise<void> {
    this.#askedMs = performance.now();
    this.#exchange.record.progress = this.#tap;
    this.#watch.expect('token', this.#settings.firstTokenTimeoutMs);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = { resolve, reject };
        this.#call = send(this);
      });
    } finally {
      this.#watch.stop();
      this.#record();
    }
  }

  onHead(headers: IncomingHttpHeaders): void {
    this.#nodeHeaders = headers;
    const told = Number(headers[promptTokensHeader]);
    this.#tap.begin(Number.isSafeInteger(told) && told > 0 ? told : this.#exchange.facts.tokensMin);
    this.#watch.alive();
  }

  onData(chunk: Buffer): void {
    // After `[DONE]` the client has its whole answer, whatever the node still says.
    if (this.#done) return;
    this.#watch.alive();
    for (const frame of this.#frames.push(chunk)) if (!this.#done) this.#take(frame);
    if (!this.#done && this.#exchange.reply.full) this.#waitForClient();
  }

  onEnd(): void {
    try {
      if (!this.#done) this.#takeRest(this.#frames.rest());
      this.#settle?.resolve();
    } catch (thrown) {
      this.#settle?.reject(thrown);
    }
  }

  onError(error: unknown): void {
    if (this.#done) this.#settle?.resolve();
    else this.#settle?.reject(error);
  }

  #waitForClient(): void {
    this.#watch.pause();
    this.#call?.pause();
    this.#exchange.reply.whenDrained(() => {
      this.#watch.expect('further token', this.#settings.tokenGapTimeoutMs);
      this.#call?.resume();
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

  /** Some engines close right behind `[DONE]`. Nothing else counts that has not ended. */
  #takeRest(rest: SseFrame | null): void {
    if (rest?.data === '[DONE]') this.#take(rest);
    else if (this.#heardAny) throw cutShort(this.#node);
    else throw fromNoStream(textOf(rest?.bytes ?? noBytes), this.#node);
  }

  #take(frame: SseFrame): void {
    const { reply } = this.#exchange;
    this.#heardAny = true;
    const heard = this.#tap.read(frame);
    if (heard.kind === 'done') {
      if (this.#tap.firstTokenMs === null) throw saidNothing(this.#node);
      this.#commit();
      const last = this.#render(frame, heard);
      this.#done = true;
      // Whoever reads the record may do so as soon as the client has the end.
      this.#record();
      reply.end(last);
      this.#watch.expect('end of its stream', closeMs);
      return;
    }
    if (this.#committed) {
      reply.write(this.#render(frame, heard));
      return;
    }
    if (heard.kind === 'alive') {
      // The client hears of it from our own keepalives, which do not commit us to this node.
      reply.note({ kind: 'prefill', text: heard.text });
      return;
    }
    this.#held.push({ frame, heard });
    this.#heldBytes += frame.bytes.length;
    if (heard.part === 'answer' || this.#heldBytes > heldBytesMax) this.#commit();
  }

  #commit(): void {
    if (this.#committed) return;
    const { reply, translation } = this.#exchange;
    // Rendered only now: a translator has not yet seen anything of a node that fails before this.
    const pieces = this.#held.map(({ frame, heard }) => this.#render(frame, heard));
    this.#held.length = 0;
    this.#committed = true;
    const nodeHeaders = translation.reply.kind === 'passthrough' ? answerHeaders(this.#nodeHeaders) : {};
    reply.open({ ...sseHeaders, ...nodeHeaders });
    for (const piece of pieces) reply.write(piece);
    this.#watch.expect('further token', this.#settings.tokenGapTimeoutMs);
  }
}
