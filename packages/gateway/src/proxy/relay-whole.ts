/**
 * One node's JSON answer to the client. It is held until it is complete, so that a node that breaks off can be
 * replaced; only what is larger than the hold passes through as it comes.
 */
import { CortexError } from '@cortex/core';
import type { Dispatcher } from 'undici';
import type { Exchange } from './exchange.ts';
import { answerHeaders } from './hop-headers.ts';
import type { ProxySettings } from './settings.ts';
import type { SilenceWatch } from './silence-watch.ts';
import type { JsonObject } from '../translate/contract.ts';
import { readUsage, type TokenCounts } from './stream-tap.ts';

const heldBytesMax = 8 * 1024 * 1024;
const tailBytes = 4096;

/** The usage object at the end of a long answer, where every engine puts it. */
export const usageInTail = (tail: string): TokenCounts | null => {
  const match = /[^\\]"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})/.exec(tail);
  if (match?.[1] === undefined) return null;
  try {
    return readUsage(JSON.parse(match[1]));
  } catch {
    return null;
  }
};

export class WholeRelay {
  readonly #exchange: Exchange;
  readonly #settings: ProxySettings;
  readonly #watch: SilenceWatch;
  readonly #node: string;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #tail: Buffer = Buffer.alloc(0);
  #committed = false;

  constructor(exchange: Exchange, settings: ProxySettings, watch: SilenceWatch, node: string) {
    this.#exchange = exchange;
    this.#settings = settings;
    this.#watch = watch;
    this.#node = node;
  }

  get committed(): boolean {
    return this.#committed;
  }

  /** Resolves when the client has its answer. @throws what broke it. */
  async run(ask: () => Promise<Dispatcher.ResponseData>): Promise<void> {
    const { record, reply } = this.#exchange;
    this.#watch.expect('complete answer', this.#settings.answerTimeoutMs);
    const answer = await ask();
    for await (const chunk of answer.body) await this.#take(chunk as Buffer, answer);
    this.#watch.pause();
    if (!this.#committed) {
      this.#sendHeld(answer);
      return;
    }
    record.tokens = usageInTail(this.#tail.toString('latin1'));
    reply.end();
  }

  async #take(chunk: Buffer, answer: Dispatcher.ResponseData): Promise<void> {
    if (this.#committed) {
      await this.#passOn(chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes <= heldBytesMax) return;
    if (this.#exchange.translation.reply.kind === 'translated') {
      throw new CortexError('upstream_error', `the node's answer is larger than ${heldBytesMax} bytes`);
    }
    this.#committed = true;
    this.#exchange.reply.open(answerHeaders(answer.headers));
    for (const held of this.#held) await this.#passOn(held);
    this.#held = [];
  }

  async #passOn(chunk: Buffer): Promise<void> {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-tailBytes);
    this.#exchange.reply.write(chunk);
    await this.#exchange.reply.drained();
  }

  #sendHeld(answer: Dispatcher.ResponseData): void {
    const bytes = this.#held.length === 1 && this.#held[0] !== undefined ? this.#held[0] : Buffer.concat(this.#held);
    const body = this.#parse(bytes);
    const { reply, record, translation } = this.#exchange;
    record.tokens = readUsage(body['usage']);
    if (translation.reply.kind === 'passthrough') reply.sendJson(bytes, answerHeaders(answer.headers));
    else reply.sendJson(JSON.stringify(translation.reply.answer(body)));
    this.#committed = true;
  }

  #parse(bytes: Buffer): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString('utf8'));
    } catch {
      value = null;
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    throw new CortexError('upstream_error', `node ${this.#node} answered something that is not a JSON object`, {
      facts: { node: this.#node },
    });
  }
}
