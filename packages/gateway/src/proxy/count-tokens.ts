/**
 * A request that is only counted. It goes to a node with the model's tokenizer, without a lease: nothing is loaded,
 * evicted or kept from being unloaded for it. Other engines are asked in each way that some of them know.
 */
import { CortexError } from '@cortex/core';
import type { Target } from '../fleet/contract.ts';
import type { CountCall, CountWay, JsonObject } from '../translate/contract.ts';
import type { Exchange } from './exchange.ts';
import { routeRequest, type ProxyParts } from './forward.ts';
import { forwardHeaders } from './hop-headers.ts';
import type { NodeCall } from './node-call.ts';
import { failsOver, fromTransport } from './node-errors.ts';
import { withInlinedImages } from './request-facts.ts';
import { SilenceWatch } from './silence-watch.ts';

/** The tokens themselves come with the count. */
const answerBytesMax = 64 * 1024 * 1024;

/** Null: not JSON. */
const parse = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
};

const ask = async (parts: ProxyParts, exchange: Exchange, target: Target, call: CountCall): Promise<unknown> => {
  const { node, endpoint, modelId, token = null } = target;
  const { requestId, reply } = exchange;
  const headers = forwardHeaders(exchange.headers, { via: parts.via, requestId, token });
  const body = Buffer.from(JSON.stringify({ ...call.body, model: modelId }));
  let sent: NodeCall | null = null;
  reply.signal.throwIfAborted();
  const watch = new SilenceWatch(reply.signal, node, (reason) => sent?.abort(reason));
  watch.expect('count', parts.settings.firstTokenTimeoutMs);
  try {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const pieces: Buffer[] = [];
      let nBytes = 0;
      const onData = (piece: Buffer): void => {
        pieces.push(piece);
        nBytes += piece.length;
        if (nBytes > answerBytesMax) throw new CortexError('upstream_error', `node ${node} counts without end`);
      };
      const sink = {
        onHead: () => watch.alive(),
        onData,
        onEnd: () => resolve(Buffer.concat(pieces)),
        onError: reject,
      };
      sent = parts.pools.post({ node, endpoint, path: call.path, headers, body }, sink);
    });
    return parse(bytes);
  } catch (thrown) {
    throw fromTransport(thrown, node);
  } finally {
    watch.stop();
  }
};

/** @returns null when the engine does not know this way. @throws CortexError when it refuses or does not answer. */
const askInWay = async (
  parts: ProxyParts,
  exchange: Exchange,
  target: Target,
  way: CountWay,
): Promise<number | null> => {
  let answer: unknown = null;
  for (const step of way.steps) {
    const call = step(answer);
    if (call === null) return null;
    answer = await ask(parts, exchange, target, call);
  }
  return way.read(answer);
};

const neuronsWay = (exchange: Exchange, request: JsonObject): CountWay => ({
  steps: [() => ({ path: exchange.dialect.upstreamPath, body: request })],
  read: (answer) => {
    const count = typeof answer === 'object' && answer !== null && 'count' in answer ? answer.count : null;
    return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : null;
  },
});

/** @throws CortexError what a neuron said, or that this engine can't be asked. */
const countOn = async (parts: ProxyParts, exchange: Exchange, target: Target, request: JsonObject): Promise<number> => {
  const own = neuronsWay(exchange, request);
  const ways = target.kind === 'neuron' ? [own] : [own, ...(exchange.translation.countWays ?? [])];
  for (const way of ways) {
    try {
      const count = await askInWay(parts, exchange, target, way);
      if (count !== null) return count;
    } catch (thrown) {
      const error = CortexError.from(thrown);
      const isAnswer = error.code !== 'upstream_disconnected' && error.code !== 'upstream_timeout';
      // Of another engine any refusal may mean that it does not know the call, or not in this form.
      if (target.kind === 'neuron' || !isAnswer || exchange.reply.signal.aborted) throw error;
    }
  }
  const message = `node ${target.node} can't count the tokens of this request`;
  throw new CortexError('upstream_error', message, { facts: { node: target.node } });
};

/** "No node is left" is the consequence; why the last one failed is the news. */
const nextTarget = (
  parts: ProxyParts,
  exchange: Exchange,
  excluded: ReadonlySet<string>,
  failure: CortexError,
): Target => {
  try {
    return parts.fleet.locate(routeRequest(exchange, excluded));
  } catch {
    throw failure;
  }
};

/** Resolves when the client has the count. @throws CortexError otherwise. */
export const countTokens = async (parts: ProxyParts, exchange: Exchange): Promise<void> => {
  const { reply, record, translation, facts } = exchange;
  const excluded = new Set(exchange.passedNodes);
  let target = parts.fleet.locate(routeRequest(exchange, excluded));
  const inlined = await parts.images.fetchAll(facts.imageUrls, reply.signal.toAbortSignal());
  const request = inlined.size === 0 ? translation.request : withInlinedImages(translation.request, inlined);
  for (;;) {
    record.nAttempts += 1;
    record.model = target.modelId;
    record.node = target.node;
    reply.header('x-cortex-node', target.node);
    try {
      const count = await countOn(parts, exchange, target, request);
      if (translation.reply.kind === 'translated') reply.sendJson(JSON.stringify(translation.reply.answer({ count })));
      return;
    } catch (thrown) {
      const error = CortexError.from(thrown);
      excluded.add(target.node);
      if (reply.signal.aborted || !failsOver(error) || record.nAttempts >= parts.settings.attemptsMax) throw error;
      target = nextTarget(parts, exchange, excluded, error);
    }
  }
};
