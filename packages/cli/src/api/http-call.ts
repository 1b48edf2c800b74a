/**
 * One HTTP call to a gateway or a neuron. Whoever answers may take as long as a model takes to load, so the only
 * deadlines are the caller's. Every failure is a `CortexError`.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { CortexError, isErrorCode } from '@cortex/core';

export interface Endpoint {
  /** Base URL without a slash at its end. */
  readonly url: string;
  /** Sent as a bearer token. */
  readonly apiKey?: string;
}

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

const answerBytesMax = 64 * 1024 * 1024;
const lookTimeoutMs = 10_000;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The member `error` of an answer or of an event, as an error of the table. */
export const errorOf = (body: unknown, otherwise: string): CortexError => {
  const error = isObject(body) && isObject(body['error']) ? body['error'] : {};
  const { code, message } = error;
  const text = typeof message === 'string' && message !== '' ? message : otherwise;
  return new CortexError(isErrorCode(code) ? code : 'upstream_error', text);
};

const failure = (endpoint: Endpoint, thrown: unknown, signal: AbortSignal | undefined): unknown => {
  if (thrown instanceof CortexError) return thrown;
  if (signal?.aborted === true) return signal.reason;
  const { message, code } = thrown as NodeJS.ErrnoException;
  // An error for several addresses at once has a code and no message.
  const why = message === '' ? code : message;
  return new CortexError('upstream_disconnected', `nothing answers at ${endpoint.url}: ${why}`, { cause: thrown });
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const readText = async (response: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    const buffer = chunk as Buffer;
    bytes += buffer.length;
    if (bytes > answerBytesMax)
      throw new CortexError('upstream_error', `an answer of more than ${answerBytesMax} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
};

const send = (endpoint: Endpoint, call: Call): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const url = new URL(endpoint.url + call.path);
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
      url,
      {
        method: call.method,
        headers: {
          accept: 'application/json, text/event-stream',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...(endpoint.apiKey === undefined ? {} : { authorization: `Bearer ${endpoint.apiKey}` }),
        },
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      },
      resolve,
    );
    request.once('error', reject);
    request.end(body);
  });

/** The answer once its head is there. @throws CortexError for a status of 400 and above too; the signal's reason. */
export const callFor = async (endpoint: Endpoint, call: Call): Promise<IncomingMessage> => {
  try {
    const response = await send(endpoint, call);
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    throw errorOf(parseJson(await readText(response)), `${call.path} answered ${status}`);
  } catch (thrown) {
    throw failure(endpoint, thrown, call.signal);
  }
};

/** A whole JSON answer. `GET`s are looks, and given up after a while. @throws as `callFor` */
export const callJson = async (endpoint: Endpoint, call: Call): Promise<unknown> => {
  const signals = call.signal === undefined ? [] : [call.signal];
  if (call.method === 'GET') signals.push(AbortSignal.timeout(lookTimeoutMs));
  const signal = AbortSignal.any(signals);
  try {
    const response = await callFor(endpoint, { ...call, signal });
    const body = parseJson(await readText(response));
    if (body !== undefined) return body;
    throw new CortexError('upstream_error', `${endpoint.url}${call.path} does not answer in JSON: is it a cortex?`);
  } catch (thrown) {
    if (!(thrown instanceof Error) || thrown.name !== 'TimeoutError') throw failure(endpoint, thrown, call.signal);
    const what = `${endpoint.url} did not answer ${call.path} within ${lookTimeoutMs / 1000} s`;
    throw new CortexError('upstream_timeout', what, { cause: thrown });
  }
};
