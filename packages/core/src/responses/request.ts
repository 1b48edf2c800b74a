/** The request of OpenAI's `/v1/responses`. Members that need a server's memory are known, so that they can be refused. */
import { z } from 'zod';
import { unknownTag } from '../open-union.ts';
import { inputItemSchema } from './items.ts';

const functionTool = z.object({
  type: z.literal('function'),
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

/** Tools that OpenAI's servers run, and forms of calls that chat models do not have, are `ignored`. */
const responsesTool = z.union([functionTool, unknownTag(['function'])]);
export type ResponsesTool = z.infer<typeof responsesTool>;

const responsesToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.discriminatedUnion('type', [
    z.object({ type: z.literal('function'), name: z.string() }),
    z.object({
      type: z.literal('allowed_tools'),
      mode: z.enum(['auto', 'required']),
      tools: z.array(z.looseObject({ type: z.string(), name: z.string().nullish() })),
    }),
  ]),
  unknownTag(['function', 'allowed_tools']),
]);
export type ResponsesToolChoice = z.infer<typeof responsesToolChoice>;

const textFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: z.string(),
    schema: z.record(z.string(), z.unknown()),
    description: z.string().nullish(),
    strict: z.boolean().nullish(),
  }),
]);
export type ResponsesTextFormat = z.infer<typeof textFormat>;

export const responsesRequestSchema = z.object({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(inputItemSchema).min(1)]),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().positive().nullish(),
  temperature: z.number().min(0).max(10).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  tools: z.array(responsesTool).max(512).nullish(),
  tool_choice: responsesToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning: z
    .object({ effort: z.string().nullish(), summary: z.string().nullish(), generate_summary: z.string().nullish() })
    .nullish(),
  text: z.object({ format: textFormat.nullish() }).nullish(),
  include: z.array(z.string()).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  previous_response_id: z.string().nullish(),
  conversation: z.unknown().optional(),
  prompt: z.unknown().optional(),
  background: z.boolean().nullish(),
});
export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
