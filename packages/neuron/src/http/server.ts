/** The neuron's HTTP side: hooks that hold for every route, and the routes themselves from one list. */
import type { IncomingMessage } from 'node:http';
import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { BodyBudget, CortexError, readJsonBody, requestId } from '@cortex/core';
import { bearerCheck } from './bearer-token.ts';
import { CallRecord, outcomeOf } from './call-record.ts';
import type { RouteContext, ServerParts } from './context.ts';
import { answerClientError, asCortexError, sendError } from './error-reply.ts';
import { NeuronMetrics } from './metrics.ts';
import { RunningCalls } from './running-calls.ts';
import { routes } from './routes/index.ts';

export interface ServerOptions {
  readonly bodyBytesMax: number;
  readonly keepaliveMs: number;
  /** A client that reads nothing for this long is cut off. */
  readonly stallMs: number;
  readonly token?: string;
}

export interface NeuronServer {
  /** The address it listens on, such as `http://0.0.0.0:13131`. @throws Node's `EADDRINUSE`, `EACCES`, … */
  listen(host: string, port: number): Promise<string>;
  /** New inference is refused from now on; resolves when the running one has ended, at the latest after the grace. */
  drain(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Time for a whole request to arrive: 64 MB over a slow line, but not for ever. */
const requestTimeoutMs = 300_000;
/** The longest model id in a path; longer ones are unknown paths. */
const modelIdCharsMax = 1024;
const probeAfterMs = 30_000;
/** This many bodies of the largest size may be in memory at once. */
const bodiesMax = 16;

/** Polled every few seconds by gateways and scrapers: logged only when someone looks closely. */
const quietPaths = new Set(['/health', '/metrics', '/models', '/discovery', '/version', '/v1/models']);
/** Still answered while shutting down. */
const drainPaths = new Set(['/health', '/metrics', '/version', '/discovery', '/models', '/v1/models']);

const inferenceRoutes = new Map(
  routes.flatMap(({ url, inference }) => (inference === undefined ? [] : [[url, inference] as const])),
);

const pathOf = (request: FastifyRequest): string => request.routeOptions.url ?? 'unknown';

const logCall = (context: RouteContext, request: FastifyRequest, reply: FastifyReply): void => {
  const record = context.recordOf(request);
  const outcome = outcomeOf(record, reply.raw.statusCode, reply.raw.writableFinished);
  const route = pathOf(request);
  context.metrics.observe(record, outcome);
  const line = {
    requestId: record.requestId,
    method: request.method,
    route,
    status: outcome.status,
    outcome: outcome.kind,
    durationMs: Math.round(record.elapsedMs),
    ...(record.error === null ? {} : { code: record.error.code, reason: record.error.message }),
    ...(record.model === null ? {} : { model: record.model.slice(0, 256), stream: record.stream }),
    ...(record.accepted
      ? {
          promptTokens: record.promptTokens,
          cachedTokens: record.cachedTokens,
          completionTokens: record.completionTokens,
          ttftMs: record.ttftMs === null ? null : Math.round(record.ttftMs),
        }
      : {}),
  };
  if (record.error?.code === 'internal_error') context.log.error({ ...line, err: record.error.cause }, 'request');
  else if (quietPaths.has(route) && outcome.kind === 'done') context.log.debug(line, 'request');
  else context.log.info(line, 'request');
};

const addHooks = (app: FastifyInstance, context: RouteContext, options: ServerOptions): void => {
  const checkToken = options.token === undefined ? null : bearerCheck(options.token);
  const budget = new BodyBudget(options.bodyBytesMax * bodiesMax);
  app.addHook('onRequest', async (request, reply) => {
    reply.raw.once('close', () => {
      budget.give(context.recordOf(request).bodyBytesHeld);
      logCall(context, request, reply);
    });
    void reply.header('x-request-id', request.id);
    checkToken?.(request.headers.authorization);
    if (context.calls.draining) {
      void reply.header('connection', 'close');
      if (!drainPaths.has(pathOf(request))) context.calls.refuseWhenDraining();
    }
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest) => {
    const { object } = await readJsonBody(request.raw, options.bodyBytesMax, (bytes) => {
      budget.take(bytes);
      context.recordOf(request).bodyBytesHeld += bytes;
    });
    return object;
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = asCortexError(thrown, request.id);
    context.recordOf(request).error = error;
    // Fastify would close under a body that is still arriving, and a client that sends all of it before it reads
    // would meet a reset instead of this answer. Node reads and drops the rest, within the request's timeout.
    if (!context.calls.draining) void reply.removeHeader('connection');
    return sendError(reply, error);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const methods = (['GET', 'POST'] as const).filter((method) => app.hasRoute({ method, url: path }));
    const what = methods.length === 0 ? `there is no ${path} here` : `${path} takes ${methods.join(' and ')}`;
    return sendError(reply, new CortexError('not_found', what));
  });
};

const newApp = (log: FastifyBaseLogger): FastifyInstance =>
  fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (request) => requestId(request.headers['x-request-id']),
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => sendError(reply, asCortexError(error, request.id)),
    // Draining answers for itself, in the error table's words.
    return503OnClosing: false,
    forceCloseConnections: true,
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength: modelIdCharsMax },
    // A host that vanishes sends no FIN: probes find out, also while an answer is computed and nothing is written.
    http: { keepAlive: true, keepAliveInitialDelay: probeAfterMs },
  });

export const createServer = (parts: ServerParts, options: ServerOptions): NeuronServer => {
  const records = new WeakMap<IncomingMessage, CallRecord>();
  const context: RouteContext = {
    ...parts,
    calls: new RunningCalls(),
    metrics: new NeuronMetrics(parts.harness, parts.deviceHealth),
    keepaliveMs: options.keepaliveMs,
    stallMs: options.stallMs,
    startedAt: new Date(),
    recordOf: (request) => {
      const known = records.get(request.raw);
      if (known !== undefined) return known;
      const record = new CallRecord(request.id, inferenceRoutes.get(pathOf(request)) ?? null);
      records.set(request.raw, record);
      return record;
    },
  };
  const app = newApp(parts.log);
  addHooks(app, context, options);
  for (const { method, url, handle } of routes) {
    app.route({ method, url, handler: (request, reply) => handle(context, request, reply) });
  }
  return {
    listen: (host, port) => app.listen({ host, port }),
    drain: (graceMs) => context.calls.drain(graceMs),
    close: () => app.close(),
  };
};
