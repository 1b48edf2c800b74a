/** Content blocks that are shown to the model, as the parts of a chat message. */
import { CortexError, type ContentPart, type ShownBlock } from '@cortex/core';

type Block<T extends ShownBlock['type']> = Extract<ShownBlock, { type: T }>;

const text = (value: string): ContentPart => ({ type: 'text', text: value });

const unreadable = (what: string, instead: string, param: string): CortexError =>
  new CortexError('unsupported_parameter', `${param}: ${what}; ${instead}`, { param });

const imagePart = ({ source }: Block<'image'>, param: string): ContentPart => {
  if (source.type === 'file')
    throw unreadable('uploaded files are not kept here', 'send the image as base64', `${param}.source`);
  const url = source.type === 'url' ? source.url : `data:${source.media_type};base64,${source.data}`;
  return { type: 'image_url', image_url: { url } };
};

/** A document that cannot be read must not pass for one that was. */
const documentBody = (source: Block<'document'>['source'], param: string): ContentPart[] => {
  if (source.type === 'text') return [text(source.data)];
  if (source.type === 'content')
    return typeof source.content === 'string' ? [text(source.content)] : toParts(source.content, `${param}.content`);
  if (source.type === 'base64' && source.media_type.startsWith('text/'))
    return [text(Buffer.from(source.data, 'base64').toString('utf8'))];
  throw unreadable(`${source.type} documents cannot be read here`, 'send their text, or pages as images', param);
};

const documentParts = ({ source, title, context }: Block<'document'>, param: string): ContentPart[] => {
  const heading = [title, context].filter((line) => typeof line === 'string' && line !== '');
  return [...heading.map((line) => text(`${line}\n`)), ...documentBody(source, `${param}.source`)];
};

/** `param`: its path in the request. @throws CortexError `unsupported_parameter` for what the model would not see. */
export const blockParts = (block: ShownBlock, param: string): ContentPart[] => {
  switch (block.type) {
    case 'text':
      return block.text === '' ? [] : [text(block.text)];
    case 'image':
      return [imagePart(block, param)];
    case 'document':
      return documentParts(block, param);
    case 'search_result':
      return [text(`${block.title}\n${block.source}\n`), ...toParts(block.content, `${param}.content`)];
    case 'tool_reference':
      return [text(block.tool_name)];
    case 'ignored':
      throw unreadable(`blocks of type '${block.tag}' are not taken here`, 'send what they say as text', param);
  }
};

/** `param`: path of the list in the request. @throws CortexError as `blockParts`. */
export const toParts = (blocks: readonly ShownBlock[], param: string): ContentPart[] =>
  blocks.flatMap((block, i) => blockParts(block, `${param}[${i}]`));

/** One text as a string, as every engine takes it; more as parts, so that the engine joins them as it does all parts. */
export const toContent = (parts: readonly ContentPart[]): string | ContentPart[] => {
  const [first, ...others] = parts;
  if (first === undefined) return '';
  return others.length === 0 && first.type === 'text' ? first.text : [...parts];
};
