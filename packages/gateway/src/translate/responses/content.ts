/** Parts of a Responses item as parts of a chat message. */
import { CortexError, type ContentPart, type ResponsesContent, type ResponsesPart } from '@cortex/core';

const unreadable = (what: string, instead: string, param: string): CortexError =>
  new CortexError('unsupported_parameter', `${param}: ${what}; ${instead}`, { param });

type ImagePart = Extract<ResponsesPart, { type: 'input_image' }>;

const imagePart = ({ image_url: url, detail }: ImagePart, param: string): ContentPart => {
  if (typeof url !== 'string')
    throw unreadable('uploaded files are not kept here', 'send the image in image_url', `${param}.image_url`);
  // `original` is the largest of the four, `high` of chat's three.
  const known = detail === 'original' ? 'high' : detail;
  return { type: 'image_url', image_url: { url, ...(typeof known === 'string' ? { detail: known } : {}) } };
};

const toPart = (part: ResponsesPart, param: string): ContentPart[] => {
  switch (part.type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }];
    case 'refusal':
      return [{ type: 'text', text: part.refusal }];
    case 'input_image':
      return [imagePart(part, param)];
    // What can't be read must not pass for read.
    case 'input_file':
      throw unreadable('files cannot be read here', 'send their text, or pages as images', param);
    case 'input_audio':
      throw unreadable('audio is not understood here', 'send text', param);
    case 'ignored':
      throw unreadable(`parts of type '${part.tag}' are not taken here`, 'send what they say as text', param);
  }
};

/** `param`: its path in the request. @throws CortexError `unsupported_parameter` for what the model would not see. */
export const toChatContent = (content: ResponsesContent, param: string): string | ContentPart[] => {
  if (typeof content === 'string') return content;
  const parts = content.flatMap((part, i) => toPart(part, `${param}[${i}]`));
  const [first, ...others] = parts;
  if (first === undefined) return '';
  return others.length === 0 && first.type === 'text' ? first.text : parts;
};

/** An assistant's texts join without a break, as they were written; pictures among them stay parts. */
export const toSpokenContent = (content: ResponsesContent, param: string): string | ContentPart[] => {
  if (typeof content === 'string') return content;
  // What other models' answers hold beside words says nothing to this one.
  const parts = content.flatMap((part, i) => (part.type === 'ignored' ? [] : toPart(part, `${param}[${i}]`)));
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return texts.length === parts.length ? texts.join('') : parts;
};
