/** A node's whole chat answer as an Anthropic message. What the stream of the same answer adds up to. */
import type { AnthropicBlock, AnthropicMessage } from '@cortex/core';
import { brokenCall, parseArguments } from '../call-arguments.ts';
import { readCompletion, type AnswerPiece, type AnswerUsage } from '../chat-answer.ts';
import { sealReasoning } from '../sealed-reasoning.ts';
import { toStop, toUsage } from './figures.ts';

/** `off`: not told. `hidden`: a block without text, whose signature brings it back to us. */
export type ThinkingDisplay = 'off' | 'hidden' | 'shown';

/** What of the request shapes its answer. */
export interface AnswerFrame {
  readonly messageId: string;
  readonly model: string;
  readonly thinking: ThinkingDisplay;
  readonly stopSequences: readonly string[];
}

/** The id of a call whose engine gave none. */
export const callId = (messageId: string, index: number): string => `toolu_${messageId.slice(4)}_${index}`;

export const noUsage: AnswerUsage = { prompt: 0, cached: 0, completion: 0, reasoning: null };

type Piece<K extends AnswerPiece['kind']> = Extract<AnswerPiece, { kind: K }>;

const toThinkingBlock = ({ text }: Piece<'reasoning'>, display: ThinkingDisplay): AnthropicBlock[] => {
  if (display === 'off') return [];
  return display === 'shown'
    ? [{ type: 'thinking', thinking: text, signature: sealReasoning('') }]
    : [{ type: 'thinking', thinking: '', signature: sealReasoning(text) }];
};

const toToolUse = (piece: Piece<'call'>, frame: AnswerFrame, cutShort: boolean): AnthropicBlock => {
  const { name } = piece;
  if (name === null) throw brokenCall('a tool', 'has no name');
  const input = parseArguments(piece.arguments);
  // What `max_tokens` cut short can't be complete; anything else that is broken is the engine's fault.
  if (input === null && !cutShort) throw brokenCall(name, 'has arguments that are no JSON object');
  return { type: 'tool_use', id: piece.id ?? callId(frame.messageId, piece.index), name, input: input ?? {} };
};

const toBlocks = (piece: AnswerPiece, frame: AnswerFrame, cutShort: boolean): AnthropicBlock[] => {
  if (piece.kind === 'text') return [{ type: 'text', text: piece.text }];
  return piece.kind === 'reasoning' ? toThinkingBlock(piece, frame.thinking) : [toToolUse(piece, frame, cutShort)];
};

/** @throws CortexError `upstream_error`. */
export const toMessage = (body: unknown, frame: AnswerFrame): AnthropicMessage => {
  const { pieces, finish, usage } = readCompletion(body);
  const content = pieces.flatMap((piece) => toBlocks(piece, frame, finish.reason === 'length'));
  const hasCalls = content.some((block) => block.type === 'tool_use');
  return {
    id: frame.messageId,
    type: 'message',
    role: 'assistant',
    model: frame.model,
    content,
    ...toStop(finish, hasCalls, frame.stopSequences),
    usage: toUsage(usage ?? noUsage),
  };
};
