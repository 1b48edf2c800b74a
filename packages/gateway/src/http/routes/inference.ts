/** Every path that asks a model: the client's protocol is the dialect's business, the rest is the proxy's. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { sseHeaders, type CortexError, type JsonBody } from '@cortex/core';
import { ClientReply } from '../../proxy/client-reply.ts';
import { countTokens } from '../../proxy/count-tokens.ts';
import type { Exchange } from '../../proxy/exchange.ts';
import { forward, routeHeaders } from '../../proxy/forward.ts';
import { requestFacts } from '../../proxy/request-facts.ts';
import type { ProxySettings } from '../../proxy/settings.ts';
import type { Dialect, StreamVoice, Translation } from '../../translate/contract.ts';
import type { Route, RouteContext } from '../context.ts';
import { asCortexError, errorHeaders } from '../error-reply.ts';
import { gatewaysPassed, refuseLoop } from '../via.ts';

const noNodes: ReadonlySet<string> = new Set();

const voiceOf = ({ reply }: Translation): StreamVoice | null =>
  reply.kind === 'passthrough' ? reply.voice : reply.stream;

/** @throws CortexError what is wrong with the request, before anything was done for it. */
const newExchange = (context: RouteContext, dialect: Dialect, request: FastifyRequest): Omit<Exchange, 'reply'> => {
  const { bytes, object } = request.body as JsonBody;
  const { headers, id } = request;
  const gateways = gatewaysPassed(headers);
  refuseLoop(gateways, context.proxy.via);
  const translation = dialect.translate({ body: object, headers, requestId: id });
  const facts = requestFacts(translation.request);
  const generates = dialect.upstreamPath === '/v1/chat/completions' || dialect.upstreamPath === '/v1/completions';
  const record = context.recordOf(request);
  record.asked = facts.model;
  record.streams = generates && translation.request['stream'] === true;
  return {
    requestId: id,
    dialect,
    caller: context.callerOf(request),
    headers,
    rawBody: bytes,
    translation,
    facts,
    passedNodes: gateways.size === 0 ? noNodes : context.proxy.fleet.nodesAmong(gateways),
    streams: record.streams,
    record,
  };
};

const answerFailure = (exchange: Exchange, error: CortexError): void => {
  const { reply, dialect, requestId } = exchange;
  if (error.code === 'client_closed_request') return reply.abandon();
  if (!reply.opened) {
    reply.sendJson(JSON.stringify(dialect.errorBody(error, requestId)), errorHeaders(error), error.status);
    return undefined;
  }
  const voice = exchange.streams ? voiceOf(exchange.translation) : null;
  if (voice === null) return reply.abandon(JSON.stringify(dialect.errorBody(error, requestId)));
  return reply.end(voice.fail(error));
};

/** JSON may begin with blank lines, and clients that read it whole never notice them. */
const blankLines = {
  headers: {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    trailer: routeHeaders.join(', '),
  },
  text: () => '\n',
};

const keepAlive = ({ reply, streams, translation }: Exchange, settings: ProxySettings): void => {
  const { keepaliveMs, wholeKeepaliveMs } = settings;
  const voice = streams ? voiceOf(translation) : null;
  if (voice !== null)
    reply.keepAlive({ headers: sseHeaders, everyMs: keepaliveMs, text: (notice) => voice.keepalive(notice) });
  else if (wholeKeepaliveMs > 0) reply.keepAlive({ ...blankLines, everyMs: wholeKeepaliveMs });
};

const serve = async (context: RouteContext, exchange: Exchange): Promise<void> => {
  const { reply, record } = exchange;
  keepAlive(exchange, context.proxy.settings);
  try {
    const isCount = exchange.dialect.upstreamPath === '/tokenize';
    await (isCount ? countTokens : forward)(context.proxy, exchange);
  } catch (thrown) {
    record.error = asCortexError(reply.signal.aborted ? reply.signal.reason : thrown, exchange.requestId);
    answerFailure(exchange, record.error);
  }
};

const handle = async (
  context: RouteContext,
  dialect: Dialect,
  request: FastifyRequest,
  fastifyReply: FastifyReply,
): Promise<void> => {
  const draft = newExchange(context, dialect, request);
  // Counting tokens uses none.
  const tokensMin = dialect.upstreamPath === '/tokenize' ? 0 : draft.facts.tokensMin;
  const admission = context.limits.admit(draft.caller.key, tokensMin);
  fastifyReply.hijack();
  const reply = new ClientReply(fastifyReply.raw);
  reply.header('x-request-id', request.id);
  reply.header('request-id', request.id);
  const identity = { id: request.id, dialect: dialect.name, client: draft.caller.clientId };
  const ended = context.observed.live.begin(identity, draft.record);
  try {
    draft.record.work = context.running.run(reply, () => serve(context, { ...draft, reply }));
    await draft.record.work;
  } finally {
    ended();
    const { tokens } = draft.record;
    admission.end((tokens?.prompt ?? 0) + (tokens?.completion ?? 0));
  }
};

export const inferenceRoute = (url: string, dialect: Dialect): Route => ({
  method: 'POST',
  url,
  access: 'key',
  dialect,
  handle: (context, request, reply) => handle(context, dialect, request, reply),
});
