/**
 * One node's JSON answer to the client. It is held until it is complete, so that a node that breaks off can be
 * replaced; only what is larger than the hold passes through as it comes.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { CortexError, textOf } from '@cortex/core';
import type { Exchange } from './exchange.ts';
import { answerHeaders } from './hop-headers.ts';
import type { AnswerSink, NodeCall } from './node-call.ts';
import { errorMemberOf, fromErrorMember } from './node-errors.ts';
import type { Relay, Settle } from './relay.ts';
import type { ProxySettings } from './settings.ts';
import { SilenceWatch } from './silence-watch.ts';
import type { JsonObject } from '../translate/contract.ts';
import { readUsage, type TokenCounts } from './stream-tap.ts';

const heldBytesMax = 8 * 1024 * 1024;
const tailBytes = 4096;

/** The usage object at the end of a long answer, where every engine puts it. */
const usageInTail = (tail: string): TokenCounts | null => {
  const match = /[^\\]"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})/.exec(tail);
  if (match?.[1] === undefined) return null;
  try {
    return readUsage(JSON.parse(match[1]));
  } catch {
    return null;
  }
};

export class WholeRelay implements Relay {
  readonly #exchange: Exchange;
  readonly #settings: ProxySettings;
  readonly #node: string;
  readonly #watch: SilenceWatch;
  #settle: Settle | null = null;
  #call: NodeCall | null = null;
  #nodeHeaders: IncomingHttpHeaders = {};
  #held: Buffer[] = [];
  #heldBytes = 0;
  #tail: Buffer = Buffer.alloc(0);
  #committed = false;

  constructor(exchange: Exchange, settings: ProxySettings, node: string) {
    this.#exchange = exchange;
    this.#settings = settings;
    this.#node = node;
    this.#watch = new SilenceWatch(exchange.reply.signal, node, (reason) => this.#call?.abort(reason));
  }

  get committed(): boolean {
    return this.#committed;
  }

  doubt(sinceMs: number, another: () => boolean): void {
    if (!this.#committed) this.#watch.doubt(sinceMs, another);
  }

  async run(send: (sink: AnswerSink) => NodeCall): Promise<void> {
    const { record, reply, facts } = this.#exchange;
    this.#watch.expect('complete answer', this.#settings.answerTimeoutMs);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = { resolve, reject };
        this.#call = send(this);
      });
    } finally {
      this.#watch.stop();
      // Nobody will say what a client that left has cost: this much at the least.
      if (reply.signal.aborted)
        record.tokens ??= { prompt: facts.tokensMin, completion: 0, cachedPrompt: 0, reported: false };
    }
  }

  onHead(headers: IncomingHttpHeaders): void {
    this.#nodeHeaders = headers;
    this.#watch.heard();
  }

  onData(chunk: Buffer): void {
    this.#watch.heard();
    if (this.#committed) {
      this.#passOn(chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes <= heldBytesMax) return;
    if (this.#exchange.translation.reply.kind === 'translated') {
      throw new CortexError('upstream_error', `the node's answer is larger than ${heldBytesMax} bytes`);
    }
    this.#committed = true;
    this.#exchange.reply.open(answerHeaders(this.#nodeHeaders));
    for (const held of this.#held) this.#passOn(held);
    this.#held = [];
  }

  onEnd(): void {
    try {
      if (this.#committed) {
        this.#exchange.record.tokens = usageInTail(this.#tail.toString('latin1'));
        this.#exchange.reply.end();
      } else this.#sendHeld();
      this.#settle?.resolve();
    } catch (thrown) {
      this.#settle?.reject(thrown);
    }
  }

  onError(error: unknown): void {
    this.#settle?.reject(error);
  }

  #passOn(chunk: Buffer): void {
    const { reply } = this.#exchange;
    this.#tail = Buffer.concat([this.#tail.subarray(-tailBytes), chunk.subarray(-tailBytes)]);
    reply.write(chunk);
    if (!reply.full) return;
    this.#call?.pause();
    reply.whenDrained(() => this.#call?.resume());
  }

  #sendHeld(): void {
    const bytes = this.#held.length === 1 && this.#held[0] !== undefined ? this.#held[0] : Buffer.concat(this.#held);
    const body = this.#parse(bytes);
    const error = errorMemberOf(body);
    if (error !== null) throw fromErrorMember(error, 0, this.#node);
    const { reply, record, translation } = this.#exchange;
    record.tokens = readUsage(body['usage']);
    if (translation.reply.kind === 'passthrough') reply.sendJson(bytes, answerHeaders(this.#nodeHeaders));
    else reply.sendJson(JSON.stringify(translation.reply.answer(body)));
    this.#committed = true;
  }

  #parse(bytes: Buffer): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(textOf(bytes));
    } catch {
      value = null;
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    throw new CortexError('upstream_error', `node ${this.#node} answered something that is not a JSON object`, {
      facts: { node: this.#node },
    });
  }
}
