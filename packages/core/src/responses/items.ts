/**
 * Input items of a Responses request: messages, calls of functions, their outputs, reasoning. Items and parts of a
 * type not listed (other tools' calls, web searches, …) become `ignored`.
 */
import { z } from 'zod';
import { tagsOf, unknownTag } from '../open-union.ts';

const textOf = <T extends string>(type: T) => z.object({ type: z.literal(type), text: z.string() });

const imagePart = z.object({
  type: z.literal('input_image'),
  image_url: z.string().nullish(),
  file_id: z.string().nullish(),
  detail: z.enum(['auto', 'low', 'high', 'original']).nullish(),
});
const filePart = z.object({ type: z.literal('input_file'), filename: z.string().nullish() });
const audioPart = z.object({ type: z.literal('input_audio') });
const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });

const parts = [
  textOf('input_text'),
  textOf('output_text'),
  textOf('text'),
  refusalPart,
  imagePart,
  filePart,
  audioPart,
] as const;

const partSchema = z.union([z.discriminatedUnion('type', parts), unknownTag(tagsOf([...parts]))]);
export type ResponsesPart = z.infer<typeof partSchema>;

const contentSchema = z.union([z.string(), z.array(partSchema)]);
export type ResponsesContent = z.infer<typeof contentSchema>;

const messageItem = z.object({
  type: z.literal('message'),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: contentSchema,
});

const functionCallItem = z.object({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  /** JSON text. */
  arguments: z.string(),
});

const functionCallOutputItem = z.object({
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: contentSchema,
});

const reasoningItem = z.object({
  type: z.literal('reasoning'),
  summary: z.array(z.looseObject({ text: z.string() })).nullish(),
  content: z.array(z.looseObject({ text: z.string() })).nullish(),
  encrypted_content: z.string().nullish(),
});

const referenceItem = z.object({ type: z.literal('item_reference'), id: z.string() });

const items = [messageItem, functionCallItem, functionCallOutputItem, reasoningItem, referenceItem] as const;

/** A message may come without its `type`. */
const withType = (item: unknown): unknown => {
  if (typeof item !== 'object' || item === null || !('role' in item)) return item;
  return 'type' in item && item.type !== null && item.type !== undefined ? item : { ...item, type: 'message' };
};

export const inputItemSchema = z.preprocess(
  withType,
  z.union([z.discriminatedUnion('type', items), unknownTag(tagsOf([...items]))]),
);
export type InputItem = z.infer<typeof inputItemSchema>;
