/**
 * The request of Anthropic's `/v1/messages` and `/v1/messages/count_tokens`. Unknown members (betas come and go) are
 * ignored; known ones of a wrong type are errors that name their path.
 */
import { z } from 'zod';
import { unknownTag } from '../open-union.ts';
import { messageContentSchema, systemContentSchema } from './content.ts';

const anthropicMessage = z.object({
  /** `system` after the first turn is a mid-conversation system message. */
  role: z.enum(['user', 'assistant', 'system']),
  content: messageContentSchema,
});
export type AnthropicTurn = z.infer<typeof anthropicMessage>;

const customTool = z.object({
  type: z
    .literal('custom')
    .nullish()
    .transform(() => 'custom' as const),
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()),
  strict: z.boolean().nullish(),
});

/** Tools that Anthropic's servers run, or whose schema only Anthropic's models know, are `ignored`. */
const anthropicTool = z.union([customTool, unknownTag(['custom'])]);
export type AnthropicTool = z.infer<typeof anthropicTool>;

const parallel = { disable_parallel_tool_use: z.boolean().nullish() };

const anthropicToolChoice = z.union([
  z.discriminatedUnion('type', [
    z.object({ type: z.literal('auto'), ...parallel }),
    z.object({ type: z.literal('any'), ...parallel }),
    z.object({ type: z.literal('tool'), name: z.string(), ...parallel }),
    z.object({ type: z.literal('none') }),
  ]),
  unknownTag(['auto', 'any', 'tool', 'none']),
]);
export type AnthropicToolChoice = z.infer<typeof anthropicToolChoice>;

const thinkingConfig = z.object({
  /** `disabled`, `enabled`, `adaptive`, or one of a later date, which is taken as thinking. */
  type: z.string(),
  budget_tokens: z.int().positive().nullish(),
  display: z.string().nullish(),
});

const jsonFormat = z.union([
  z.object({ type: z.literal('json_schema'), schema: z.record(z.string(), z.unknown()) }),
  unknownTag(['json_schema']),
]);

const promptMembers = {
  model: z.string().min(1),
  messages: z.array(anthropicMessage).min(1),
  system: systemContentSchema.nullish(),
  tools: z.array(anthropicTool).max(512).nullish(),
  tool_choice: anthropicToolChoice.nullish(),
  thinking: thinkingConfig.nullish(),
  output_config: z.object({ format: jsonFormat.nullish() }).nullish(),
  /** What `output_config.format` was called while it was a beta. */
  output_format: jsonFormat.nullish(),
};

export const countTokensRequestSchema = z.object(promptMembers);
export type CountTokensRequest = z.infer<typeof countTokensRequestSchema>;

export const messagesRequestSchema = z.object({
  ...promptMembers,
  max_tokens: z.int().positive(),
  stop_sequences: z.array(z.string().min(1)).max(16).nullish(),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(10).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
});
export type MessagesRequest = z.infer<typeof messagesRequestSchema>;
