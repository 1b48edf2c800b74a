/** Response objects and their output items: what a stream's events carry, and a whole answer at once. */
import type {
  OutputFunctionCall,
  OutputItem,
  OutputMessage,
  OutputReasoning,
  OutputText,
  ResponseObject,
  ResponsesUsage,
} from '@cortex/core';
import { brokenCall } from '../call-arguments.ts';
import {
  readCompletion,
  type AnswerFinish,
  type AnswerPiece,
  type AnswerReading,
  type AnswerUsage,
} from '../chat-answer.ts';
import type { JsonObject } from '../contract.ts';
import { sealReasoning } from '../sealed-reasoning.ts';

/** What of the request shapes its answer. */
export interface ResponseFrame {
  /** Unique to the request, without a prefix; every id of the answer is made from it. */
  readonly idStem: string;
  readonly model: string;
  /** Members of the request that its response repeats. */
  readonly echo: JsonObject;
  /** Reasoning items carry their own sealed copy. */
  readonly sealsReasoning: boolean;
}

const echoed = (body: JsonObject, defaults: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(defaults).map(([key, value]) => [key, body[key] ?? value]));

/** What the client asked for, as OpenAI repeats it, with what holds for members it left out. */
export const echoOf = (body: JsonObject): JsonObject => ({
  ...echoed(body, {
    instructions: null,
    max_output_tokens: null,
    metadata: {},
    parallel_tool_calls: true,
    reasoning: { effort: null, summary: null },
    temperature: null,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: null,
  }),
  background: false,
  previous_response_id: null,
  store: false,
  truncation: 'disabled',
});

/** The item being written. */
export interface Draft {
  readonly kind: AnswerPiece['kind'];
  readonly id: string;
  readonly callId: string;
  readonly name: string;
  /** Which of the answer's calls it is; -1 for the other kinds. */
  readonly call: number;
  text: string;
}

const idPrefixes = { text: 'msg', reasoning: 'rs', call: 'fc' } as const satisfies Record<AnswerPiece['kind'], string>;

/** `index`: its place in the output. @throws CortexError `upstream_error` for a call that has no name. */
export const newDraft = (piece: AnswerPiece, index: number, { idStem }: ResponseFrame): Draft => {
  const id = `${idPrefixes[piece.kind]}_${idStem}_${index}`;
  if (piece.kind !== 'call') return { kind: piece.kind, id, callId: '', name: '', call: -1, text: '' };
  if (piece.name === null) throw brokenCall('a function', 'began without its name');
  const callId = piece.id ?? `call_${idStem}_${piece.index}`;
  return { kind: 'call', id, callId, name: piece.name, call: piece.index, text: '' };
};

export const outputText = (text: string): OutputText => ({ type: 'output_text', text, annotations: [], logprobs: [] });

type Status = OutputItem['status'];

const message = ({ id, text }: Draft, status: Status): OutputMessage => ({
  type: 'message',
  id,
  status,
  role: 'assistant',
  content: status === 'in_progress' ? [] : [outputText(text)],
});

const reasoning = ({ id, text }: Draft, status: Status, seals: boolean): OutputReasoning => ({
  type: 'reasoning',
  id,
  status,
  summary: status === 'in_progress' ? [] : [{ type: 'summary_text', text }],
  ...(seals && status !== 'in_progress' ? { encrypted_content: sealReasoning(text) } : {}),
});

const functionCall = ({ id, callId, name, text }: Draft, status: Status): OutputFunctionCall => ({
  type: 'function_call',
  id,
  status,
  call_id: callId,
  name,
  arguments: status === 'in_progress' ? '' : callArguments(text),
});

/** Some engines write nothing for a call without arguments; clients parse what they get. */
export const callArguments = (text: string): string => (text.trim() === '' ? '{}' : text);

/** In progress an item is empty: its deltas fill it. */
export const toItem = (draft: Draft, status: Status, frame: ResponseFrame): OutputItem => {
  switch (draft.kind) {
    case 'reasoning':
      return reasoning(draft, status, frame.sealsReasoning);
    case 'call':
      return functionCall(draft, status);
    case 'text':
      break;
  }
  return message(draft, status);
};

const toUsage = (usage: AnswerUsage): ResponsesUsage => ({
  input_tokens: usage.prompt,
  input_tokens_details: { cached_tokens: usage.cached, cache_write_tokens: 0 },
  output_tokens: usage.completion,
  output_tokens_details: { reasoning_tokens: usage.reasoning ?? 0 },
  total_tokens: usage.prompt + usage.completion,
});

export const isCutShort = (finish: AnswerFinish): boolean =>
  finish.reason === 'length' || finish.reason === 'content_filter';

export interface Progress {
  readonly status: ResponseObject['status'];
  /** Seconds since the epoch. */
  readonly created: number;
  readonly output: readonly OutputItem[];
  readonly finish?: AnswerFinish;
  readonly usage?: AnswerUsage | null;
  readonly error?: ResponseObject['error'];
}

const incompleteDetails = (finish: AnswerFinish | undefined): ResponseObject['incomplete_details'] => {
  if (finish === undefined || !isCutShort(finish)) return null;
  return { reason: finish.reason === 'length' ? 'max_output_tokens' : 'content_filter' };
};

export const toResponse = (progress: Progress, frame: ResponseFrame): ResponseObject => ({
  id: `resp_${frame.idStem}`,
  object: 'response',
  created_at: progress.created,
  status: progress.status,
  error: progress.error ?? null,
  incomplete_details: incompleteDetails(progress.finish),
  model: frame.model,
  output: progress.output,
  usage: progress.usage === undefined || progress.usage === null ? null : toUsage(progress.usage),
  ...frame.echo,
});

export const createdOf = (reading: AnswerReading): number => reading.created ?? Math.floor(Date.now() / 1000);

/** A node's whole chat answer. @throws CortexError `upstream_error`. */
export const toWholeResponse = (body: unknown, frame: ResponseFrame): ResponseObject => {
  const reading = readCompletion(body);
  const { pieces, finish, usage } = reading;
  const status = isCutShort(finish) ? 'incomplete' : 'completed';
  const output = pieces.map((piece, i) => {
    const draft = newDraft(piece, i, frame);
    draft.text = piece.kind === 'call' ? piece.arguments : piece.text;
    // What ends an answer too early ends its last item.
    return toItem(draft, i === pieces.length - 1 ? status : 'completed', frame);
  });
  return toResponse({ status, created: createdOf(reading), output, finish, usage }, frame);
};
