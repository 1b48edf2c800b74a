/**
 * What routing must know of an OpenAI request body, read in one pass without judging it: the node that serves it
 * parses it fully. Odd members are skipped here, so that its error names them. Pure.
 */
import { hash } from 'node:crypto';
import { CortexError } from '@cortex/core';
import type { JsonObject } from '../translate/contract.ts';

export interface RequestFacts {
  readonly model: string;
  readonly needsVision: boolean;
  /** Never more than the model's own tokenizer would count. */
  readonly tokensMin: number;
  /** Of the conversation up to its first user message: later turns of it have the same. */
  readonly affinityKey?: string;
  /** Distinct http(s) links, in order. */
  readonly imageUrls: readonly string[];
}

/** Long runs of spaces or repeated letters can be one token of this many characters; ordinary text is 3 to 4. */
const charsPerTokenMax = 16;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The `url` of an image part, in OpenAI's form or as the bare string that several clients send. The member counts, as
 * some engines read it whatever the part's type.
 */
const imageUrlOf = (part: unknown): string | null => {
  if (!isObject(part)) return null;
  const image = part['image_url'];
  if (part['type'] !== 'image_url' && image === undefined) return null;
  const url = isObject(image) ? image['url'] : image;
  return typeof url === 'string' ? url : '';
};

interface Reading {
  chars: number;
  tokens: number;
  nImages: number;
  readonly urls: Set<string>;
}

/** URL parsers pass over control characters in front, and over tabs and line ends anywhere. */
const schemeOf = (url: string): string | undefined =>
  /^[\p{Cc} ]*([a-z][a-z\d+.\-\t\n\r]*):/iu
    .exec(url)?.[1]
    ?.replaceAll(/[\t\n\r]/g, '')
    .toLowerCase();

const readImage = (url: string, reading: Reading): void => {
  reading.nImages += 1;
  const scheme = schemeOf(url);
  if (scheme === 'http' || scheme === 'https') reading.urls.add(url);
  else if (scheme !== undefined && scheme !== 'data')
    throw new CortexError('invalid_image', `image_url of scheme ${scheme}: is not taken; send a data URI`);
};

const readContent = (content: unknown, reading: Reading): void => {
  if (typeof content === 'string') reading.chars += content.length;
  if (!Array.isArray(content)) return;
  for (const part of content) {
    const url = imageUrlOf(part);
    if (url !== null) readImage(url, reading);
    else if (isObject(part) && typeof part['text'] === 'string') reading.chars += part['text'].length;
  }
};

/** A `prompt` or `input`: text, token ids, or a list of either, whose longest counts. */
const readPrompt = (prompt: unknown, reading: Reading): void => {
  if (typeof prompt === 'string') reading.chars = Math.max(reading.chars, prompt.length);
  if (!Array.isArray(prompt)) return;
  if (typeof prompt[0] === 'number') reading.tokens = Math.max(reading.tokens, prompt.length);
  else for (const one of prompt) if (!Array.isArray(one) || typeof one[0] === 'number') readPrompt(one, reading);
};

const sampleChars = 4096;

/** Both ends and the length tell long texts and pictures apart well enough, and cost the same for a megabyte. */
const sample = (text: string): string =>
  text.length <= 2 * sampleChars ? text : `${text.slice(0, sampleChars)}${text.length}${text.slice(-sampleChars)}`;

const partText = (part: unknown): string => {
  if (!isObject(part)) return '';
  const text = part['text'] ?? imageUrlOf(part);
  return typeof text === 'string' ? sample(text) : '';
};

const affinityOf = (model: string, messages: readonly unknown[]): string => {
  let leading = model;
  for (const message of messages) {
    if (!isObject(message)) continue;
    const { content } = message;
    leading += `\0${String(message['role'])}\0`;
    if (typeof content === 'string') leading += sample(content);
    else if (Array.isArray(content)) leading += content.map(partText).join('\0');
    if (message['role'] === 'user') break;
  }
  return hash('sha1', leading, 'base64url');
};

const noUrls: readonly string[] = [];

/** @throws CortexError `invalid_request` without a model name, `invalid_image` for a link of a foreign scheme. */
export const requestFacts = (body: JsonObject): RequestFacts => {
  const { model, messages } = body;
  if (typeof model !== 'string' || model === '') {
    throw new CortexError('invalid_request', 'model: expected the name of a model', { param: 'model' });
  }
  const reading: Reading = { chars: 0, tokens: 0, nImages: 0, urls: new Set() };
  const turns: readonly unknown[] = Array.isArray(messages) ? messages : [];
  for (const message of turns) if (isObject(message)) readContent(message['content'], reading);
  readPrompt(body['prompt'], reading);
  readPrompt(body['input'], reading);
  return {
    model,
    needsVision: reading.nImages > 0,
    tokensMin: 1 + Math.max(Math.ceil(reading.chars / charsPerTokenMax), reading.tokens) + reading.nImages,
    imageUrls: reading.nImages === 0 ? noUrls : [...reading.urls],
    ...(turns.length === 0 ? {} : { affinityKey: affinityOf(model, turns) }),
  };
};

/** A copy of the body with every linked image that `inlined` knows replaced by its data URI. */
export const withInlinedImages = (body: JsonObject, inlined: ReadonlyMap<string, string>): JsonObject => {
  const { messages } = body;
  if (!Array.isArray(messages)) return body;
  const inlinePart = (part: unknown): unknown => {
    const url = imageUrlOf(part);
    const data = url === null ? undefined : inlined.get(url);
    if (data === undefined || !isObject(part)) return part;
    const image = part['image_url'];
    return { ...part, image_url: isObject(image) ? { ...image, url: data } : { url: data } };
  };
  const inlineMessage = (message: unknown): unknown => {
    if (!isObject(message) || !Array.isArray(message['content'])) return message;
    return { ...message, content: message['content'].map(inlinePart) };
  };
  return { ...body, messages: messages.map(inlineMessage) };
};
