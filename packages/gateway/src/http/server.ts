/** The gateway's HTTP side: hooks that hold for every route, and the routes themselves from one list. */
import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { BodyBudget, CortexError, readJsonBody, requestId } from '@cortex/core';
import type { Caller } from '../auth/key-ring.ts';
import { requestLine } from '../metrics/request-log.ts';
import { finishedRequest } from '../observe/finished-request.ts';
import { newRecord, type RequestRecord } from '../proxy/exchange.ts';
import type { Dialect } from '../translate/contract.ts';
import type { Route, RouteContext, ServerParts } from './context.ts';
import { answerClientError, asCortexError, errorHeaders } from './error-reply.ts';
import { refuseForeignChange, refuseRebound } from './foreign-pages.ts';
import { builtPage, type PageFiles } from './page-files.ts';
import { allRoutes } from './routes/index.ts';
import { RunningRequests } from './running-requests.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    route?: Route;
  }
  interface FastifyRequest {
    /** Null until it is first asked for. */
    record: RequestRecord | null;
    /** Null on an open route. */
    caller: Caller | null;
  }
}

export interface ServerOptions {
  readonly bodyBytesMax: number;
  /** Names for browsers without a key, beside IP addresses and local names. */
  readonly browserHosts?: readonly string[];
  /** What the page is made of; the built one when left out. */
  readonly page?: PageFiles;
}

export interface GatewayServer {
  /** The address it listens on, such as `http://0.0.0.0:31313`. @throws Node's `EADDRINUSE`, `EACCES`, … */
  listen(host: string, port: number): Promise<string>;
  /** New inference is refused from now on; resolves when the running one has ended, at the latest after the grace. */
  drain(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Time for a whole request to arrive: 64 MB over a slow line, but not for ever. */
const requestTimeoutMs = 300_000;
const probeAfterMs = 30_000;
/** This many bodies of the largest size may be in memory at once. */
const bodiesMax = 16;

const routeOf = (request: FastifyRequest): Route | undefined => request.routeOptions.config.route;

/** The second name is the one that Anthropic's clients read. */
const idHeaders = (id: string): Record<string, string> => ({
  'x-request-id': id,
  'request-id': id,
});

const sendError = (
  request: FastifyRequest,
  reply: FastifyReply,
  error: CortexError,
  fallback?: Dialect,
): FastifyReply => {
  const anthropic = request.headers['anthropic-version'] === undefined ? undefined : fallback;
  const dialect = routeOf(request)?.dialect ?? anthropic;
  const body = dialect === undefined ? error.toBody() : dialect.errorBody(error, request.id);
  return reply
    .headers({ ...idHeaders(request.id), ...errorHeaders(error) })
    .code(error.status)
    .send(body);
};

interface End {
  /** Name of the key or address. */
  readonly client: string;
  readonly endedMs: number;
}

const finish = (context: RouteContext, request: FastifyRequest, reply: FastifyReply, end: End): void => {
  const record = context.recordOf(request);
  const { statusCode, writableFinished } = reply.raw;
  const ended = writableFinished || routeOf(request)?.endless === true;
  record.error ??= ended ? null : new CortexError('client_closed_request', 'the client left');
  record.status = record.error?.code === 'client_closed_request' ? 499 : statusCode;
  const durationMs = end.endedMs - record.startedMs;
  if (record.inference) {
    context.metrics.observe(record, durationMs);
    const live = { id: request.id, dialect: routeOf(request)?.dialect?.name ?? 'unknown', client: end.client };
    context.observed.finished.push(finishedRequest(live, record, durationMs, Date.now()));
  }
  const route = request.routeOptions.url ?? 'unknown';
  const identity = { requestId: request.id, method: request.method, route, client: end.client };
  const line = requestLine(identity, record, durationMs);
  const { error } = record;
  if (error?.code === 'internal_error') context.log.error({ ...line, err: error.cause }, 'request');
  // Probes and the page ask every few seconds.
  else if (!record.inference && error === null && request.method !== 'POST') context.log.debug(line, 'request');
  else context.log.info(line, 'request');
};

const admit = (context: RouteContext, request: FastifyRequest, browserHosts: readonly string[]): void => {
  const access = routeOf(request)?.access ?? 'key';
  if (access === 'open') return;
  if (access === 'admin') refuseForeignChange(request.headers);
  const caller = context.keys.identify(request.headers, request.ip);
  request.caller = caller;
  if (caller.key === null) refuseRebound(request.headers, browserHosts);
  if (access === 'admin' && !caller.admin) throw new CortexError('forbidden', 'this needs a key with admin = true');
};

const addHooks = (app: FastifyInstance, context: RouteContext, options: ServerOptions): void => {
  const budget = new BodyBudget(options.bodyBytesMax * bodiesMax);
  const fallback = context.dialects['/v1/messages'];
  app.addHook('onRequest', (request, reply, done) => {
    const record = context.recordOf(request);
    const route = routeOf(request);
    const dialect = route?.dialect;
    record.inference = dialect !== undefined && dialect.upstreamPath !== '/tokenize';
    let leave: (() => void) | null = null;
    reply.raw.once('close', () => {
      leave?.();
      const endedMs = performance.now();
      const client = request.caller?.clientId ?? request.ip;
      // A client that left is known here before the proxy has settled its account.
      void Promise.resolve(record.work).then(() => {
        budget.give(record.bodyBytes);
        return finish(context, request, reply, { client, endedMs });
      });
    });
    // What asks a model is answered past Fastify, or by `sendError`.
    if (dialect === undefined) void reply.headers(idHeaders(request.id));
    admit(context, request, options.browserHosts ?? []);
    if (context.running.draining) {
      void reply.header('connection', 'close');
      if (route?.access !== 'open') context.running.refuseWhenDraining();
    }
    if (dialect !== undefined) leave = context.running.arrive();
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request: FastifyRequest) =>
    readJsonBody(request.raw, options.bodyBytesMax, (bytes) => {
      budget.take(bytes);
      context.recordOf(request).bodyBytes += bytes;
    }),
  );
  app.setErrorHandler((thrown, request, reply) => {
    const error = asCortexError(thrown, request.id);
    context.recordOf(request).error = error;
    return sendError(request, reply, error, fallback);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const methods = (['GET', 'POST'] as const).filter((method) => app.hasRoute({ method, url: path }));
    if (methods.length === 0)
      return sendError(request, reply, new CortexError('not_found', `there is no ${path} here`), fallback);
    const allowed = methods.includes('GET') ? ['HEAD', ...methods] : methods;
    const error = new CortexError('method_not_allowed', `${path} takes ${methods.join(' and ')}`);
    return sendError(request, reply.header('allow', allowed.join(', ')), error, fallback);
  });
};

const newApp = (log: FastifyBaseLogger): FastifyInstance =>
  fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger,
    genReqId: (request) => requestId(request.headers['x-request-id']),
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => sendError(request, reply, asCortexError(error, request.id)),
    // Draining answers for itself, in the error table's words.
    return503OnClosing: false,
    forceCloseConnections: true,
    requestTimeout: requestTimeoutMs,
    // A host that vanishes sends no FIN: probes find out, also while an answer is computed and nothing is written.
    http: { keepAlive: true, keepAliveInitialDelay: probeAfterMs },
  });

export const createServer = (parts: ServerParts, options: ServerOptions): GatewayServer => {
  const context: RouteContext = {
    ...parts,
    running: new RunningRequests(),
    startedAt: new Date(),
    recordOf: (request) => {
      request.record ??= newRecord(performance.now());
      return request.record;
    },
    callerOf: (request) => {
      const { caller } = request;
      if (caller === null) throw new Error(`${request.url}: an open route has no caller`);
      return caller;
    },
  };
  // Its own remarks only: requests are logged by us, in one line each.
  const app = newApp(parts.log.child({}, { level: 'warn' }));
  app.decorateRequest('record', null);
  app.decorateRequest('caller', null);
  addHooks(app, context, options);
  for (const route of allRoutes(parts.dialects, options.page ?? builtPage())) {
    const { method, url } = route;
    app.route({ method, url, config: { route }, handler: (request, reply) => route.handle(context, request, reply) });
  }
  return {
    listen: (host, port) => app.listen({ host, port }),
    drain: (graceMs) => context.running.drain(graceMs),
    close: () => app.close(),
  };
};
