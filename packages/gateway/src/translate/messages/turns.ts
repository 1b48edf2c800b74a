/** Turns of an Anthropic conversation as chat messages: one turn may become several, as chat gives each result its own. */
import type { AnthropicTurn, ChatMessage, ContentPart, RequestBlock, ShownBlock, ToolCall } from '@cortex/core';
import { openReasoning } from '../sealed-reasoning.ts';
import { blockParts, toContent, toParts } from './content.ts';

type Block<T extends RequestBlock['type']> = Extract<RequestBlock, { type: T }>;

const isShown = (block: RequestBlock): block is ShownBlock =>
  block.type !== 'tool_result' && block.type !== 'tool_use' && block.type !== 'thinking';

const shownParts = (blocks: readonly RequestBlock[], param: string): ContentPart[] =>
  blocks.flatMap((block, i) => (isShown(block) ? blockParts(block, `${param}[${i}]`) : []));

/** Other models' notes to themselves and calls of their own tools say nothing to this one. */
const spokenParts = (blocks: readonly RequestBlock[], param: string): ContentPart[] =>
  blocks.flatMap((block, i) => (isShown(block) && block.type !== 'ignored' ? blockParts(block, `${param}[${i}]`) : []));

const failed: ContentPart = { type: 'text', text: 'Error: ' };

/** Chat has no member for a failed call: the model is told in words. */
const resultMessage = (block: Block<'tool_result'>, param: string): ChatMessage => {
  const { content } = block;
  const parts: ContentPart[] =
    typeof content === 'string' ? [{ type: 'text', text: content }] : toParts(content ?? [], `${param}.content`);
  const [first] = parts;
  const marked: ContentPart[] =
    first?.type === 'text' ? [{ type: 'text', text: failed.text + first.text }, ...parts.slice(1)] : [failed, ...parts];
  return {
    role: 'tool',
    tool_call_id: block.tool_use_id,
    content: toContent(block.is_error === true ? marked : parts),
  };
};

const userMessages = (blocks: readonly RequestBlock[], param: string): ChatMessage[] => {
  const results = blocks.flatMap((block, i) =>
    block.type === 'tool_result' ? [resultMessage(block, `${param}[${i}]`)] : [],
  );
  const parts = shownParts(blocks, param);
  // Chat wants results right after their calls: what else the turn says follows them.
  return parts.length === 0 && results.length > 0 ? results : [...results, { role: 'user', content: toContent(parts) }];
};

/** Texts join without a break: they were parted only where a call or a thought stood between them. */
const spokenContent = (parts: readonly ContentPart[]): string | ContentPart[] => {
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return texts.length === parts.length ? texts.join('') : [...parts];
};

const assistantMessage = (blocks: readonly RequestBlock[], param: string): ChatMessage[] => {
  const content = spokenContent(spokenParts(blocks, param));
  const reasoning = blocks
    .map((block) => (block.type === 'thinking' ? block.thinking || openReasoning(block.signature) : ''))
    .join('');
  const calls = blocks.flatMap((block): ToolCall[] =>
    block.type === 'tool_use'
      ? [{ id: block.id, type: 'function', function: { name: block.name, arguments: JSON.stringify(block.input) } }]
      : [],
  );
  if (content === '' && reasoning === '' && calls.length === 0) return [];
  return [
    {
      role: 'assistant',
      content: content === '' && calls.length > 0 ? null : content,
      ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    },
  ];
};

/** `param`: path of the turn in the request. @throws CortexError `unsupported_parameter`. */
export const toChatMessages = (turn: AnthropicTurn, param: string): ChatMessage[] => {
  const blocks: readonly RequestBlock[] =
    typeof turn.content === 'string' ? [{ type: 'text', text: turn.content }] : turn.content;
  const path = `${param}.content`;
  switch (turn.role) {
    case 'system':
      return [{ role: 'system', content: toContent(shownParts(blocks, path)) }];
    case 'user':
      return userMessages(blocks, path);
    case 'assistant':
      break;
  }
  return assistantMessage(blocks, path);
};
