/**
 * Content blocks of an Anthropic request. Members that only steer Anthropic's own service (`cache_control`,
 * `citations`, …) are dropped here; blocks of a type not listed become `ignored`.
 */
import { z } from 'zod';
import { tagsOf, unknownTag } from '../open-union.ts';

const textBlock = z.object({ type: z.literal('text'), text: z.string() });

const base64Source = z.object({
  type: z.literal('base64'),
  media_type: z.string().regex(/^[\w.+-]+\/[\w.+-]+$/, 'is not a media type'),
  data: z.string(),
});
const urlSource = z.object({ type: z.literal('url'), url: z.string() });
const fileSource = z.object({ type: z.literal('file'), file_id: z.string() });

const imageBlock = z.object({
  type: z.literal('image'),
  source: z.discriminatedUnion('type', [base64Source, urlSource, fileSource]),
});

const plainBlocks = [textBlock, imageBlock] as const;
const plainContent = z.array(
  z.union([z.discriminatedUnion('type', plainBlocks), unknownTag(tagsOf([...plainBlocks]))]),
);

const documentBlock = z.object({
  type: z.literal('document'),
  source: z.discriminatedUnion('type', [
    z.object({ type: z.literal('text'), data: z.string() }),
    z.object({ type: z.literal('content'), content: z.union([z.string(), plainContent]) }),
    base64Source,
    urlSource,
    fileSource,
  ]),
  title: z.string().nullish(),
  context: z.string().nullish(),
});

const searchResultBlock = z.object({
  type: z.literal('search_result'),
  title: z.string(),
  source: z.string(),
  content: plainContent,
});

/** What a search among tools has found, one of those that the request brings. */
const toolReferenceBlock = z.object({ type: z.literal('tool_reference'), tool_name: z.string() });

const resultBlocks = [textBlock, imageBlock, documentBlock, searchResultBlock, toolReferenceBlock] as const;

const toolResultBlock = z.object({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z
    .union([
      z.string(),
      z.array(z.union([z.discriminatedUnion('type', resultBlocks), unknownTag(tagsOf([...resultBlocks]))])),
    ])
    .nullish(),
  is_error: z.boolean().nullish(),
});

const toolUseBlock = z.object({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
});

const thinkingBlock = z.object({
  type: z.literal('thinking'),
  thinking: z.string(),
  signature: z.string().nullish(),
});

const blocks = [...resultBlocks, toolResultBlock, toolUseBlock, thinkingBlock] as const;

export const contentBlockSchema = z.union([z.discriminatedUnion('type', blocks), unknownTag(tagsOf([...blocks]))]);
export type RequestBlock = z.infer<typeof contentBlockSchema>;

/** Of the blocks a request may hold, those that are shown to the model as text or pictures. */
export type ShownBlock = Exclude<RequestBlock, { type: 'tool_result' | 'tool_use' | 'thinking' }>;

export const messageContentSchema = z.union([z.string(), z.array(contentBlockSchema)]);

/** A system prompt: what is not text in it has no meaning there. */
export const systemContentSchema = z.union([z.string(), z.array(z.union([textBlock, unknownTag(['text'])]))]);
export type SystemContent = z.infer<typeof systemContentSchema>;
