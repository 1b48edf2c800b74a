/** `GET /v1/models` as other engines answer it: what a gateway can use of it, all of it optional but the ids. */
import { z } from 'zod';
import { limitSchema, loadProgressSchema } from '../neuron-api.ts';

/** Members that are not of the expected form count as absent: an engine may call anything anything. */
export const listedModelSchema = z.looseObject({
  id: z.string().min(1),
  capabilities: z.array(z.string()).nullish().catch(null),
  limit: limitSchema.nullish().catch(null),
  /** vLLM's and SGLang's context, in tokens. */
  max_model_len: z.int().positive().nullish().catch(null),
  tool_call: z.boolean().nullish().catch(null),
  reasoning: z.boolean().nullish().catch(null),
  /** Another gateway's: one that is not `loaded` is loaded by that gateway when it is asked for. */
  state: z.enum(['loaded', 'loading', 'available']).nullish().catch(null),
  progress: loadProgressSchema.nullish().catch(null),
  /** The gateways it is reached through, the one that answers first. */
  via: z.array(z.string()).nullish().catch(null),
});
export type ListedModel = z.infer<typeof listedModelSchema>;

export const modelListSchema = z.looseObject({ data: z.array(listedModelSchema) });
