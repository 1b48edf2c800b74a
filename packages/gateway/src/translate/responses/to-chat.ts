/** A Responses request as the chat request that a node is asked. Nothing is remembered between requests. */
import { CortexError, type ChatRequest, type ResponseFormat, type ResponsesRequest } from '@cortex/core';
import { joinLeadingSystem } from '../system-turns.ts';
import { toChatMessages } from './items.ts';
import { toTooling } from './tools.ts';

const isSet = (value: unknown): boolean => value !== null && value !== undefined && value !== false;

/** What needs a server that keeps responses or prompts, and where else the same can be had. */
const statefulMembers = {
  previous_response_id: 'responses are not kept here; send the whole conversation in input',
  conversation: 'conversations are not kept here; send the whole conversation in input',
  prompt: 'prompt templates are not kept here; send instructions and input',
  background: 'responses are not kept here; ask for a stream instead',
} as const;

const refuseStateful = (request: ResponsesRequest): void => {
  for (const [param, why] of Object.entries(statefulMembers))
    if (isSet(request[param as keyof typeof statefulMembers]))
      throw new CortexError('unsupported_parameter', `${param}: ${why}`, { param });
};

const toResponseFormat = (request: ResponsesRequest): ResponseFormat | null => {
  const format = request.text?.format;
  switch (format?.type) {
    case 'json_object':
      return { type: 'json_object' };
    case 'json_schema': {
      const { type, ...schema } = format;
      return { type, json_schema: schema };
    }
    case 'text':
    case undefined:
      break;
  }
  return null;
};

/** The levels every engine knows. */
const commonEfforts: ReadonlySet<string> = new Set(['low', 'medium', 'high']);

/** `none` switches thinking off; any other effort, or the wish for a summary, on; else the model's own default holds. */
const thinkingOf = ({ reasoning }: ResponsesRequest): Partial<ChatRequest> => {
  const effort = reasoning?.effort;
  const summary = reasoning?.summary ?? reasoning?.generate_summary;
  if (typeof effort !== 'string' && typeof summary !== 'string') return {};
  return {
    chat_template_kwargs: { enable_thinking: effort !== 'none' },
    ...(typeof effort === 'string' && commonEfforts.has(effort) ? { reasoning_effort: effort } : {}),
  };
};

const sampling = (request: ResponsesRequest): Partial<ChatRequest> => ({
  ...(typeof request.max_output_tokens === 'number' ? { max_tokens: request.max_output_tokens } : {}),
  ...(typeof request.temperature === 'number' ? { temperature: request.temperature } : {}),
  ...(typeof request.top_p === 'number' ? { top_p: request.top_p } : {}),
});

/** @throws CortexError `unsupported_parameter` for what would need a memory, and for content chat cannot hold. */
export const toChatRequest = (request: ResponsesRequest): ChatRequest => {
  refuseStateful(request);
  const { instructions } = request;
  const opening: ChatRequest['messages'] =
    typeof instructions === 'string' && instructions !== '' ? [{ role: 'system', content: instructions }] : [];
  const format = toResponseFormat(request);
  return {
    model: request.model,
    messages: joinLeadingSystem([...opening, ...toChatMessages(request.input)]),
    ...toTooling(request.tools, request.tool_choice, request.parallel_tool_calls),
    ...sampling(request),
    ...(format === null ? {} : { response_format: format }),
    ...thinkingOf(request),
    ...(request.stream === true
      ? { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } }
      : {}),
  };
};
