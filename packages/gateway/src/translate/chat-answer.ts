/**
 * A node's chat answer, streamed or whole, as the pieces that other protocols are made of. The node may be any
 * engine, so that every member is looked at before it is believed. Pure.
 */
import { CortexError, type ChatChunk } from '@cortex/core';
import type { JsonObject } from './contract.ts';

export type AnswerPiece =
  | { readonly kind: 'reasoning'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  /** First piece of a call: `id` and `name` are known. `arguments` are pieces of one JSON text. */
  | {
      readonly kind: 'call';
      readonly index: number;
      readonly id: string | null;
      readonly name: string | null;
      readonly arguments: string;
    };

export interface AnswerFinish {
  readonly reason: 'stop' | 'length' | 'tool_calls' | 'content_filter';
  /** The stop string that ended it, where the node tells. */
  readonly stopString: string | null;
}

/** Tokens. */
export interface AnswerUsage {
  readonly prompt: number;
  /** Of the prompt, those that were not computed again. */
  readonly cached: number;
  readonly completion: number;
  /** Of the completion; null: the node never said. */
  readonly reasoning: number | null;
}

export interface AnswerReading {
  readonly pieces: readonly AnswerPiece[];
  readonly finish: AnswerFinish | null;
  readonly usage: AnswerUsage | null;
  /** Seconds since the epoch; null: the node never said. */
  readonly created: number | null;
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const nameOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

const countOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.trunc(value) : null;

const readUsage = (usage: unknown): AnswerUsage | null => {
  if (!isObject(usage)) return null;
  const prompt = countOf(usage['prompt_tokens']);
  if (prompt === null) return null;
  const inPrompt = isObject(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {};
  const inAnswer = isObject(usage['completion_tokens_details']) ? usage['completion_tokens_details'] : {};
  return {
    prompt,
    cached: Math.min(prompt, countOf(inPrompt['cached_tokens']) ?? 0),
    completion: countOf(usage['completion_tokens']) ?? 0,
    reasoning: countOf(inAnswer['reasoning_tokens']),
  };
};

const finishReasons = ['stop', 'length', 'tool_calls', 'content_filter'] as const;

/** @throws CortexError `upstream_error` where the engine gave the answer up. */
const readFinish = (choice: JsonObject): AnswerFinish | null => {
  const reason = nameOf(choice['finish_reason']);
  if (reason === null) return null;
  // vLLM's and SGLang's words for an answer they did not complete.
  if (reason === 'abort' || reason === 'error')
    throw new CortexError('upstream_error', `the node gave the answer up (finish_reason "${reason}")`);
  return {
    reason: finishReasons.find((known) => known === reason) ?? 'stop',
    // vLLM and neurons say `stop_reason`, SGLang `matched_stop`; token ids among them are no strings.
    stopString: nameOf(choice['stop_reason']) ?? nameOf(choice['matched_stop']),
  };
};

const readCall = (call: unknown, position: number): AnswerPiece => {
  const member = isObject(call) ? call : {};
  const named = isObject(member['function']) ? member['function'] : {};
  const args = named['arguments'];
  return {
    kind: 'call',
    index: countOf(member['index']) ?? position,
    id: nameOf(member['id']),
    name: nameOf(named['name']),
    arguments: isObject(args) ? JSON.stringify(args) : textOf(args),
  };
};

/** Members of a delta or a whole message, in the order in which they are to be told. */
const readPieces = (message: JsonObject): AnswerPiece[] => {
  const pieces: AnswerPiece[] = [];
  // The older and the newer name of the same member; some engines send both.
  const reasoning = textOf(message['reasoning_content']) || textOf(message['reasoning']);
  if (reasoning !== '') pieces.push({ kind: 'reasoning', text: reasoning });
  const text = textOf(message['content']) + textOf(message['refusal']);
  if (text !== '') pieces.push({ kind: 'text', text });
  const calls = message['tool_calls'];
  if (Array.isArray(calls)) pieces.push(...calls.map(readCall));
  return pieces;
};

interface AnswerBody {
  readonly choices?: unknown;
  readonly usage?: unknown;
  readonly created?: unknown;
}

const read = (body: AnswerBody, member: 'delta' | 'message'): AnswerReading => {
  const choices: readonly unknown[] = Array.isArray(body.choices) ? body.choices : [];
  // One answer was asked for: whatever has another index is not it.
  const choice = choices.find((one) => isObject(one) && (one['index'] ?? 0) === 0);
  const message = isObject(choice) ? choice[member] : null;
  return {
    pieces: isObject(message) ? readPieces(message) : [],
    finish: isObject(choice) ? readFinish(choice) : null,
    usage: readUsage(body.usage),
    created: countOf(body.created),
  };
};

/** A stream that is over and never had a `finish_reason`. */
export const endedUnsaid = (): CortexError =>
  new CortexError('upstream_error', 'the node ended its answer without saying why');

/** @throws CortexError `upstream_error`. */
export const readChunk = (chunk: ChatChunk): AnswerReading => read(chunk, 'delta');

/** @throws CortexError `upstream_error` for a body that is no chat completion. */
export const readCompletion = (body: unknown): AnswerReading & { readonly finish: AnswerFinish } => {
  const reading = isObject(body) ? read(body, 'message') : null;
  const finish = reading?.finish;
  if (reading === null || finish === null || finish === undefined)
    throw new CortexError('upstream_error', 'the node answered something that is no chat completion');
  return { ...reading, finish };
};
