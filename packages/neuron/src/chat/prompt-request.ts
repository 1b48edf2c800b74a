/** What of a chat or tokenize request shapes its prompt: messages, tools, and the switches a template knows. */
import type { ChatRequest, TokenizeRequest } from '@cortex/core';
import { toTemplateMessages } from './messages.ts';
import type { TemplateInput } from './template.ts';

/** `reasoning_effort: "none"` switches thinking off and any other on; an explicit `enable_thinking` wins. */
const effortKwargs = (effort: string | null | undefined): Readonly<Record<string, unknown>> =>
  effort === null || effort === undefined ? {} : { reasoning_effort: effort, enable_thinking: effort !== 'none' };

/** `tool_choice: "none"` hides the tools. @throws CortexError `invalid_request` for arguments that are no JSON object. */
export const chatInput = (request: ChatRequest): TemplateInput => ({
  messages: toTemplateMessages(request.messages),
  tools: request.tool_choice === 'none' ? [] : (request.tools ?? []),
  addGenerationPrompt: true,
  kwargs: { ...effortKwargs(request.reasoning_effort), ...request.chat_template_kwargs },
});

/** The prompt a chat request with these messages would have. @throws CortexError `invalid_request`. */
export const tokenizeInput = (request: TokenizeRequest): TemplateInput => ({
  messages: toTemplateMessages(request.messages ?? []),
  tools: request.tools ?? [],
  addGenerationPrompt: request.add_generation_prompt ?? true,
  kwargs: request.chat_template_kwargs ?? {},
});
