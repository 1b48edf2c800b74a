/** The events of one output item: those that open it, one for each piece of it, and those that close it. Pure. */
import type { OutputItem, ResponsesEvent } from '@cortex/core';
import { callArguments, outputText, type Draft } from './response-object.ts';

/** Words are the first part of their message, reasoning the first of its summary. */
const firstContent = { content_index: 0 } as const;
const firstSummary = { summary_index: 0 } as const;

/** `index`: the item's place in the output, as in all of these. */
export const openingEvents = (draft: Draft, item: OutputItem, index: number): ResponsesEvent[] => {
  const added: ResponsesEvent = { type: 'response.output_item.added', output_index: index, item };
  const of = { item_id: draft.id, output_index: index };
  switch (draft.kind) {
    case 'text':
      return [added, { type: 'response.content_part.added', ...of, ...firstContent, part: outputText('') }];
    case 'reasoning': {
      const part = { type: 'summary_text', text: '' } as const;
      return [added, { type: 'response.reasoning_summary_part.added', ...of, ...firstSummary, part }];
    }
    case 'call':
      break;
  }
  return [added];
};

export const deltaEvent = (draft: Draft, delta: string, index: number): ResponsesEvent => {
  const of = { item_id: draft.id, output_index: index };
  switch (draft.kind) {
    case 'text':
      return { type: 'response.output_text.delta', ...of, ...firstContent, delta, logprobs: [] };
    case 'reasoning':
      return { type: 'response.reasoning_summary_text.delta', ...of, ...firstSummary, delta };
    case 'call':
      break;
  }
  return { type: 'response.function_call_arguments.delta', ...of, delta };
};

const lastEvents = (draft: Draft, index: number): ResponsesEvent[] => {
  const of = { item_id: draft.id, output_index: index };
  const { text, name } = draft;
  switch (draft.kind) {
    case 'text':
      return [
        { type: 'response.output_text.done', ...of, ...firstContent, text, logprobs: [] },
        { type: 'response.content_part.done', ...of, ...firstContent, part: outputText(text) },
      ];
    case 'reasoning':
      return [
        { type: 'response.reasoning_summary_text.done', ...of, ...firstSummary, text },
        { type: 'response.reasoning_summary_part.done', ...of, ...firstSummary, part: { type: 'summary_text', text } },
      ];
    case 'call':
      break;
  }
  return [{ type: 'response.function_call_arguments.done', ...of, name, arguments: callArguments(text) }];
};

export const closingEvents = (draft: Draft, item: OutputItem, index: number): ResponsesEvent[] => [
  ...lastEvents(draft, index),
  { type: 'response.output_item.done', output_index: index, item },
];
