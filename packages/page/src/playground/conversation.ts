/**
 * A conversation as plain data: what the person said, what came back piece by piece, and the request that the whole of
 * it makes. Pure: times are handed in, in milliseconds.
 */
import type { ChatChunk, ChatMessage, Usage } from '@cortex/core';

export interface Picture {
  /** As a data URI. */
  readonly url: string;
  readonly name: string;
  /** What was done to it on the way; null when nothing was. */
  readonly note: string | null;
}

export interface ToolCallText {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface UserTurn {
  readonly kind: 'user';
  readonly text: string;
  readonly pictures: readonly Picture[];
}

export interface AnswerTurn {
  readonly kind: 'answer';
  readonly model: string;
  readonly state: 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed';
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly ToolCallText[];
  /** What the gateway says while it is silent, such as `loading on beast, 40 %`. */
  readonly note: string;
  readonly node: string | null;
  readonly startedMs: number;
  readonly firstTokenMs: number | null;
  readonly endedMs: number | null;
  readonly usage: Usage | null;
  readonly finish: string | null;
  readonly failure: Failure | null;
}

export type Turn = UserTurn | AnswerTurn;

export interface Parameters {
  readonly system: string;
  /** As typed; empty: the model's own. */
  readonly temperature: string;
  readonly maxTokens: string;
  /** A JSON list of tools, or empty. */
  readonly tools: string;
}

export const noParameters: Parameters = { system: '', temperature: '', maxTokens: '', tools: '' };

export const newAnswer = (model: string, nowMs: number): AnswerTurn => ({
  kind: 'answer',
  model,
  state: 'waiting',
  text: '',
  reasoning: '',
  calls: [],
  note: '',
  node: null,
  startedMs: nowMs,
  firstTokenMs: null,
  endedMs: null,
  usage: null,
  finish: null,
  failure: null,
});

type Delta = ChatChunk['choices'][number]['delta'];

const withCalls = (calls: readonly ToolCallText[], delta: Delta): readonly ToolCallText[] => {
  if (delta.tool_calls === undefined) return calls;
  const next = [...calls];
  for (const { index, id, function: called } of delta.tool_calls) {
    const known = next[index] ?? { id: '', name: '', arguments: '' };
    next[index] = {
      id: id ?? known.id,
      name: known.name + (called.name ?? ''),
      arguments: known.arguments + (called.arguments ?? ''),
    };
  }
  return next;
};

export const addChunk = (answer: AnswerTurn, chunk: ChatChunk, nowMs: number): AnswerTurn => {
  const choice = chunk.choices[0];
  const usage = chunk.usage ?? answer.usage;
  if (choice === undefined) return { ...answer, usage };
  const { delta } = choice;
  const text = answer.text + (delta.content ?? '');
  const reasoning = answer.reasoning + (delta.reasoning_content ?? '');
  const calls = withCalls(answer.calls, delta);
  const says = text !== answer.text || reasoning !== answer.reasoning || calls !== answer.calls;
  return {
    ...answer,
    text,
    reasoning,
    calls,
    usage,
    state: says ? 'streaming' : answer.state,
    note: says ? '' : answer.note,
    firstTokenMs: answer.firstTokenMs ?? (says ? nowMs : null),
    finish: choice.finish_reason ?? answer.finish,
  };
};

export const endAnswer = (answer: AnswerTurn, how: 'done' | 'stopped' | Failure, nowMs: number): AnswerTurn => {
  const ended = { ...answer, note: '', endedMs: nowMs };
  return typeof how === 'string' ? { ...ended, state: how } : { ...ended, state: 'failed', failure: how };
};

const userMessage = ({ text, pictures }: UserTurn): ChatMessage => {
  if (pictures.length === 0) return { role: 'user', content: text };
  const images = pictures.map(({ url }) => ({ type: 'image_url' as const, image_url: { url } }));
  return { role: 'user', content: [...images, ...(text === '' ? [] : [{ type: 'text' as const, text }])] };
};

/** Answers that failed or are empty are left out: no template takes them. */
const messageOf = (turn: Turn): readonly ChatMessage[] => {
  if (turn.kind === 'user') return [userMessage(turn)];
  return turn.text === '' || turn.state === 'failed' ? [] : [{ role: 'assistant', content: turn.text }];
};

const numberOf = (text: string, name: string): number | undefined => {
  if (text.trim() === '') return undefined;
  const value = Number(text);
  if (Number.isFinite(value)) return value;
  throw new Error(`${name} is not a number.`);
};

const toolsOf = (text: string): unknown => {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('The tools are not JSON.');
  }
};

/** @throws Error what is wrong with a parameter; everything else is left to the API to judge. */
export const chatRequest = (
  model: string,
  turns: readonly Turn[],
  { system, temperature, maxTokens, tools }: Parameters,
): Readonly<Record<string, unknown>> => ({
  model,
  messages: [...(system.trim() === '' ? [] : [{ role: 'system', content: system }]), ...turns.flatMap(messageOf)],
  stream: true,
  stream_options: { include_usage: true },
  temperature: numberOf(temperature, 'Temperature'),
  max_tokens: numberOf(maxTokens, 'The most tokens'),
  tools: toolsOf(tools),
});

/** A shorter time is that of one delivery, not of the tokens in it. */
const decodeMsMin = 10;

/** Tokens a second after the first one; null before there are two, and where no time was seen between them. */
export const answerRate = ({ usage, firstTokenMs, endedMs }: AnswerTurn): number | null => {
  if (usage === null || firstTokenMs === null || endedMs === null) return null;
  const ms = endedMs - firstTokenMs;
  return usage.completion_tokens > 1 && ms >= decodeMsMin ? ((usage.completion_tokens - 1) / ms) * 1000 : null;
};
