/** The playground's state: one conversation, and the one answer that may be on its way. */
import { signal } from '@preact/signals';
import type { ChatChunk } from '@cortex/core';
import { ApiError, call, errorOf } from '../api/call.ts';
import { sseItems } from '../api/sse.ts';
import { apiKey, keyDialog } from '../state/store.ts';
import {
  addChunk,
  chatRequest,
  endAnswer,
  newAnswer,
  noParameters,
  type AnswerTurn,
  type Failure,
  type Parameters,
  type Picture,
  type Turn,
} from './conversation.ts';

export const turns = signal<readonly Turn[]>([]);
export const parameters = signal<Parameters>(noParameters);
export const chosenModel = signal<string | null>(null);
export const answering = signal(false);

let abort = new AbortController();

export const stopAnswer = (): void => abort.abort();

export const clearConversation = (): void => {
  stopAnswer();
  turns.value = [];
};

const failureOf = (thrown: unknown): Failure =>
  thrown instanceof ApiError
    ? { code: thrown.code, message: thrown.message }
    : { code: 'failed', message: thrown instanceof Error ? thrown.message : String(thrown) };

/** A stream that ended without `[DONE]` broke. @throws ApiError also what the stream itself says */
async function* chunks(body: ReadableStream<Uint8Array>, onNote: (text: string) => void): AsyncGenerator<ChatChunk> {
  for await (const item of sseItems(body)) {
    if (item.kind === 'comment') {
      onNote(item.text);
      continue;
    }
    if (item.data === '[DONE]') return;
    const value = JSON.parse(item.data) as ChatChunk & { readonly error?: unknown };
    if (value.error !== undefined) throw errorOf(0, value);
    yield value;
  }
  throw new ApiError(0, 'upstream_disconnected', 'The answer broke off.');
}

/** Of a comment, what is for people: the gateway also writes `x-cortex-node=beast …` there. */
const readNote = (answer: AnswerTurn, text: string): AnswerTurn => {
  const node = /(?:^| )x-cortex-node=(\S+)/.exec(text)?.[1];
  return node === undefined ? { ...answer, note: text } : { ...answer, node };
};

/** One answer, shown as it comes: at most one new state a frame. */
class Answering {
  #answer: AnswerTurn;
  readonly #before: readonly Turn[];
  #shown: readonly Turn[];
  #frame = 0;

  constructor(answer: AnswerTurn, before: readonly Turn[]) {
    this.#answer = answer;
    this.#before = before;
    this.#shown = [...before, answer];
    turns.value = this.#shown;
  }

  change(next: (answer: AnswerTurn) => AnswerTurn): void {
    this.#answer = next(this.#answer);
    if (this.#frame === 0)
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#show();
      });
  }

  end(how: 'done' | 'stopped' | Failure): void {
    cancelAnimationFrame(this.#frame);
    this.#answer = endAnswer(this.#answer, how, performance.now());
    this.#show();
  }

  /** A conversation that was cleared meanwhile stays so. */
  #show(): void {
    if (turns.value !== this.#shown) return;
    this.#shown = [...this.#before, this.#answer];
    turns.value = this.#shown;
  }
}

const stream = async (request: object, shown: Answering, stopped: AbortSignal): Promise<void> => {
  const response = await call('v1/chat/completions', { key: apiKey.value, body: request, signal: stopped });
  const node = response.headers.get('x-cortex-node');
  if (node !== null) shown.change((answer) => ({ ...answer, node }));
  if (response.body === null) throw new ApiError(0, 'upstream_error', 'The answer has no body.');
  const note = (text: string): void => shown.change((answer) => readNote(answer, text));
  for await (const chunk of chunks(response.body, note))
    shown.change((answer) => addChunk(answer, chunk, performance.now()));
};

/** What is wrong with the parameters, for the person; null: nothing that the page could see. */
export const parameterProblem = (model: string): string | null => {
  try {
    chatRequest(model, [], parameters.value);
    return null;
  } catch (thrown) {
    return failureOf(thrown).message;
  }
};

/** Asks, with parameters that have no problem; never rejects. */
export const ask = async (model: string, text: string, pictures: readonly Picture[]): Promise<void> => {
  const before: readonly Turn[] = [...turns.value, { kind: 'user', text, pictures }];
  const request = chatRequest(model, before, parameters.value);
  abort = new AbortController();
  const stopped = abort.signal;
  const shown = new Answering(newAnswer(model, performance.now()), before);
  answering.value = true;
  try {
    await stream(request, shown, stopped);
    shown.end('done');
  } catch (thrown) {
    shown.end(stopped.aborted ? 'stopped' : failureOf(thrown));
    if (thrown instanceof ApiError && thrown.status === 401) keyDialog.value = thrown.message;
  } finally {
    answering.value = false;
  }
};
