/** How a fake neuron answers one inference request: at its model's pace, or with the fault that was set for it. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CortexError,
  promptTokensHeader,
  sseComment,
  sseData,
  sseDone,
  sseHeaders,
  type ChatDelta,
  type FinishReason,
} from '@cortex/core';
import {
  answerTo,
  chatChunk,
  hasImage,
  promptTokens,
  textChunk,
  wholeChat,
  wholeText,
  type Answer,
} from './answers.ts';
import type { FakeModel, Fault } from './settings.ts';

export type Route = '/v1/chat/completions' | '/v1/completions';

export interface Call {
  readonly route: Route;
  readonly model: FakeModel;
  readonly body: Readonly<Record<string, unknown>>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fault: Fault | null;
  /** Aborted when the client leaves or the model is taken away. */
  readonly signal: AbortSignal;
}

/** Resolves early when the signal aborts. */
const pause = (ms: number, signal: AbortSignal): Promise<void> => {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
};

const drained = async (response: ServerResponse, signal: AbortSignal): Promise<void> => {
  try {
    await once(response, 'drain', { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
};

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });

export const sendError = (response: ServerResponse, error: CortexError, headers: Record<string, string> = {}): void => {
  response
    .writeHead(error.status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify(error.toBody()));
};

let nAnswers = 0;

const refuse = (call: Call): void => {
  const { model, body } = call;
  if (hasImage(body) && !model.capabilities.includes('vision')) {
    const facts = { model_id: model.id, suggestion: 'a model with vision' };
    throw new CortexError('vision_unsupported', `${model.id} cannot see`, { facts });
  }
  const prompt = promptTokens(body);
  if (prompt > model.context)
    throw new CortexError('context_length_exceeded', `${prompt} tokens are more than ${model.context}`);
};

/** True: the fault has answered. */
const faultBeforeHeaders = async (call: Call): Promise<boolean> => {
  const { fault, response, signal } = call;
  if (fault?.kind === 'reset_before_headers') {
    response.destroy();
    return true;
  }
  if (fault?.kind === 'not_http') {
    response.socket?.end('220 mail.example.com ESMTP\r\n');
    return true;
  }
  if (fault?.kind === 'error_body') {
    const error = { message: 'a fault', type: 'server_error', code: fault.code };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
    return true;
  }
  if (fault?.kind === 'slow_headers') {
    await pause(fault.ms, signal);
    return signal.aborted;
  }
  if (fault?.kind !== 'status') return false;
  const retry = fault.retry_after === undefined ? {} : { 'retry-after': String(fault.retry_after) };
  const body = { error: { message: fault.message ?? 'a fault', type: 'server_error', code: fault.code ?? null } };
  response.writeHead(fault.status, { 'content-type': 'application/json', ...retry }).end(JSON.stringify(body));
  return true;
};

const released = async ({ model, signal }: Call): Promise<void> => {
  while (model.hold && !signal.aborted) await pause(20, signal);
};

/** Sends the role, then silence or comments until the first token is due. */
const prefill = async (call: Call): Promise<void> => {
  const { model, response, signal } = call;
  await released(call);
  const every = model.keepalive_ms > 0 ? model.keepalive_ms : model.first_token_ms;
  for (let left = model.first_token_ms; left > 0 && !signal.aborted; left -= every) {
    await pause(Math.min(every, left), signal);
    if (left > every)
      response.write(sseComment(`prefill ${model.first_token_ms - left + every}/${model.first_token_ms}`));
  }
};

/** True: the stream has gone wrong at this token and ended, or hangs until it is aborted. */
const faultAt = async (call: Call, nSent: number): Promise<boolean> => {
  const { fault, response, signal } = call;
  if (fault?.kind === 'reset_mid_body' && nSent === 3) {
    response.write('data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"con');
    await pause(20, signal);
    response.destroy();
    return true;
  }
  if (fault === null || !('after_tokens' in fault) || fault.after_tokens !== nSent) return false;
  if (fault.kind === 'reset_mid_stream') {
    // What was written before must have left: a destroyed socket sends nothing more.
    await pause(20, signal);
    response.destroy();
  }
  if (fault.kind === 'end_without_done') response.end();
  if (fault.kind === 'done_early') response.end(sseDone);
  if (fault.kind === 'stall') await untilAborted(signal);
  if (fault.kind === 'garbage_sse') response.end('data: {"choices": [{"del\n\ndata: <html>oops</html>\n\n');
  if (fault.kind === 'error_event')
    response.end(sseData({ error: { message: 'a fault', type: 'server_error', code: fault.code } }));
  return true;
};

const stream = async (call: Call, answer: Answer): Promise<void> => {
  const { response, model, signal, body } = call;
  const id = `${call.route === '/v1/completions' ? 'cmpl' : 'chatcmpl'}-${(nAnswers += 1)}`;
  const options = (body['stream_options'] ?? {}) as Readonly<Record<string, unknown>>;
  const chunk = call.route === '/v1/completions' ? textChunk : chatChunk;
  let nSent = 0;
  const usageSoFar = (): typeof answer.usage => ({
    ...answer.usage,
    completion_tokens: nSent,
    total_tokens: answer.usage.prompt_tokens + nSent,
  });
  const send = (delta: ChatDelta, finish: FinishReason | null): boolean => {
    const running = options['continuous_usage_stats'] === true ? usageSoFar() : null;
    return response.write(
      sseData(chunk(id, model.id, delta, finish, options['include_usage'] === true ? running : undefined)),
    );
  };
  response.writeHead(200, { ...sseHeaders, [promptTokensHeader]: answer.usage.prompt_tokens });
  if (call.route === '/v1/chat/completions') send({ role: 'assistant', content: '' }, null);
  else response.flushHeaders();
  await prefill(call);
  for (const delta of answer.deltas) {
    if (signal.aborted || (await faultAt(call, nSent))) return;
    nSent += 1;
    if (!send(delta, null)) await drained(response, signal);
    if (model.token_ms > 0) await pause(model.token_ms, signal);
  }
  if (signal.aborted || (await faultAt(call, nSent))) return;
  send({}, answer.finish);
  if (options['include_usage'] === true) response.write(sseData(chunk(id, model.id, null, null, answer.usage)));
  response.end(sseDone);
};

const whole = async (call: Call, answer: Answer): Promise<void> => {
  const { response, model, signal, fault } = call;
  if (fault?.kind === 'stall' && fault.after_tokens === 0) return untilAborted(signal);
  await released(call);
  await pause(model.first_token_ms + model.token_ms * answer.deltas.length, signal);
  if (signal.aborted) return undefined;
  const id = `cmpl-${(nAnswers += 1)}`;
  const body = JSON.stringify((call.route === '/v1/completions' ? wholeText : wholeChat)(id, model.id, answer));
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  if (fault?.kind === 'stall') {
    response.writeHead(200, headers).write(body.slice(0, body.length / 2));
    await untilAborted(signal);
  } else if (fault?.kind === 'reset_mid_body' || fault?.kind === 'reset_mid_stream') {
    response.writeHead(200, headers).write(body.slice(0, body.length / 2), () => response.destroy());
  } else if (fault?.kind === 'garbage_body' || fault?.kind === 'garbage_sse') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('<html>oops</html>');
  } else response.writeHead(200, headers).end(body);
  return undefined;
};

/** Resolves when the answer has ended or was aborted. @throws CortexError what the request is refused with. */
export const generate = async (call: Call): Promise<void> => {
  if (await faultBeforeHeaders(call)) return;
  refuse(call);
  const answer = answerTo(call.model, call.body);
  const streams = call.body['stream'] === true && call.fault?.kind !== 'never_streams';
  await (streams ? stream(call, answer) : whole(call, answer));
};
