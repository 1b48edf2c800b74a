import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readTokenizerDefinition } from './tokenizer-files.ts';
import { Vocabulary } from './vocabulary.ts';

const dir = fileURLToPath(new URL('../../../../fixtures/tokenizer', import.meta.url));
const definition = await readTokenizerDefinition(dir);
const vocabulary = Vocabulary.of(definition);
const expected = JSON.parse(await readFile(`${dir}/expected.json`, 'utf8')) as { ids: number[]; text: string }[];
const utf8 = new TextEncoder();

describe('Vocabulary', () => {
  it('has one entry for every id up to the highest', () => {
    expect(vocabulary.nTokens).toBe(640);
  });

  it('holds the exact bytes of every token, and each byte value as a token of its own', () => {
    const single = new Set<number>();
    for (let id = 0; id < vocabulary.nTokens; id += 1) {
      const bytes = vocabulary.tokenBytes(id);
      expect(bytes.length).toBeGreaterThan(0);
      if (bytes.length === 1) for (const byte of bytes) single.add(byte);
    }
    expect(single.size).toBe(256);
  });

  it('joins to the bytes of the text that was encoded', () => {
    for (const { ids, text } of expected) {
      const joined = Buffer.concat(ids.map((id) => vocabulary.tokenBytes(id)));
      expect(new Uint8Array(joined)).toEqual(utf8.encode(text.normalize('NFC')));
    }
  });

  it('tells control tokens from added tokens that are text', () => {
    expect(['<|im_end|>', '<|image_pad|>'].map((content) => vocabulary.idOf(content))).toEqual([628, 632]);
    expect([628, 632].map((id) => vocabulary.isControl(id))).toEqual([true, true]);
    expect(['<think>', '</tool_call>'].map((content) => vocabulary.idOf(content))).toEqual([638, 635]);
    expect([638, 635].map((id) => vocabulary.isControl(id))).toEqual([false, false]);
    expect(vocabulary.idOf('hello')).toBeUndefined();
  });

  it('says of ids it does not have that they stand for nothing', () => {
    for (const id of [-1, 640, 1e9]) {
      expect(vocabulary.tokenBytes(id).length).toBe(0);
      expect(vocabulary.isControl(id)).toBe(true);
    }
  });

  it('is shared memory, whole again on another thread', () => {
    for (const part of [vocabulary.data.bytes, vocabulary.data.offsets, vocabulary.data.control])
      expect(part.buffer).toBeInstanceOf(SharedArrayBuffer);
    const copy = new Vocabulary(structuredClone(vocabulary.data));
    expect(copy.data.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    for (const { ids, text } of expected.slice(0, 3)) expect(copy.decode(ids, { skipSpecial: true })).toBe(text);
    expect(copy.idOf('<think>')).toBe(638);
  });
});
