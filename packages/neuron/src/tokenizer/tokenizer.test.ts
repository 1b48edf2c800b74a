import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tokenizer } from './tokenizer.ts';
import type { TokenizerJson } from './tokenizer-files.ts';

const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8');

const fixtureDir = fileURLToPath(new URL('../../../../fixtures/tokenizer', import.meta.url));

interface Expected {
  readonly text: string;
  readonly ids: number[];
  readonly decoded: string;
  readonly decoded_skip_special: string;
}

let tokenizer: Tokenizer;
let json: TokenizerJson;
let expected: Expected[];
let scratch: string;

beforeAll(async () => {
  tokenizer = await Tokenizer.load(fixtureDir);
  json = JSON.parse(await readFile(join(fixtureDir, 'tokenizer.json'), 'utf8'));
  expected = JSON.parse(await readFile(join(fixtureDir, 'expected.json'), 'utf8'));
  scratch = await mkdtemp(join(tmpdir(), 'tokenizer-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const withFile = async (content: string): Promise<Tokenizer> => {
  await writeFile(join(scratch, 'tokenizer.json'), content);
  return Tokenizer.load(scratch);
};
const withChanges = (changes: Record<string, unknown>): Promise<Tokenizer> =>
  withFile(JSON.stringify({ ...json, ...changes }));

describe('Tokenizer', () => {
  it('gives the reference ids, and the reference text back', () => {
    expect(expected.length).toBeGreaterThan(10);
    for (const { text, ids, decoded, decoded_skip_special } of expected) {
      expect(tokenizer.encode(text, { parseSpecial: true })).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(decoded_skip_special);
    }
  });

  it('keeps control tokens spelled out in plain text as text, and other added tokens as tokens', () => {
    const text = '<|im_start|>user <think>hi</think><|image_pad|><|im_end|>';
    const ids = tokenizer.encode(text, { parseSpecial: false });
    expect(ids.filter((id) => tokenizer.vocabulary.isControl(id))).toEqual([]);
    expect(ids).toContain(tokenizer.vocabulary.idOf('<think>'));
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(text);
  });

  it('composes characters before splitting', () => {
    const options = { parseSpecial: true };
    expect(tokenizer.encode('e\u0301', options)).toEqual(tokenizer.encode('\u00e9', options));
  });

  it('encodes an unpaired surrogate as U+FFFD', () => {
    const options = { parseSpecial: true };
    expect(tokenizer.encode('a\ud800b', options)).toEqual(tokenizer.encode('a\ufffdb', options));
  });

  it('gives back any text it has encoded, in its composed form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, parseSpecial) => {
        const ids = tokenizer.encode(text, { parseSpecial });
        expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(wellFormed(text.normalize('NFC')));
      }),
    );
  });
});

describe('what a tokenizer.json may ask for', () => {
  it('adds a bos token where the post-processor says so, unless told not to', async () => {
    const bos = '<|endoftext|>';
    const id = tokenizer.vocabulary.idOf(bos);
    const template = await withChanges({
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: bos, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [],
        special_tokens: { [bos]: { id: bos, ids: [id], tokens: [bos] } },
      },
    });
    const plain = tokenizer.encode('hi', { parseSpecial: true });
    expect(template.encode('hi', { parseSpecial: true })).toEqual([id, ...plain]);
    expect(template.encode('hi', { parseSpecial: true, addSpecial: false })).toEqual(plain);
  });

  it('lets added tokens swallow blanks, stand only as whole words, and match normalised text', async () => {
    const added = [
      { id: 700, content: '<strip>', lstrip: true, rstrip: true, special: true, normalized: false },
      { id: 701, content: 'word', single_word: true, special: false, normalized: false },
      { id: 702, content: 'caf\u00e9', special: false, normalized: true },
    ];
    const custom = await withChanges({ added_tokens: [...(json.added_tokens ?? []), ...added] });
    const encode = (text: string): number[] => custom.encode(text, { parseSpecial: true });
    expect(encode('a  <strip> \n b')).toEqual([...encode('a'), 700, ...encode('b')]);
    expect(encode('a word')).toContain(701);
    expect(encode('swordfish')).not.toContain(701);
    expect(encode('un cafe\u0301')).toContain(702);
    expect(custom.vocabulary.nTokens).toBe(703);
    expect(custom.vocabulary.isControl(690)).toBe(true);
    expect(custom.decode([690], { skipSpecial: false })).toBe('');
  });

  it('prefers the longest of added tokens that start together', async () => {
    const added = [
      { id: 700, content: '<a', special: false, normalized: false },
      { id: 701, content: '<a>', special: false, normalized: false },
    ];
    const custom = await withChanges({ added_tokens: added });
    expect(custom.encode('<a><a', { parseSpecial: true })).toEqual([701, 700]);
  });
});

describe('a hostile tokenizer.json', () => {
  const refused = {
    name: 'CortexError',
    code: 'model_load_failed',
    message: expect.stringContaining('tokenizer.json'),
  };

  it.each([
    ['that is not JSON', '{'],
    ['that is no object', '[]'],
    ['without a model', '{}'],
    ['that is empty', ''],
  ])('%s is refused', async (_, content) => {
    await expect(withFile(content)).rejects.toMatchObject(refused);
  });

  it.each<[string, (model: TokenizerJson['model']) => Record<string, unknown>]>([
    ['another model type', (model) => ({ model: { ...model, type: 'Unigram' } })],
    ['an id that is no number', (model) => ({ model: { ...model, vocab: { a: 'b' } } })],
    ['a negative id', (model) => ({ model: { ...model, vocab: { a: -1 } } })],
    ['an absurd id', (model) => ({ model: { ...model, vocab: { a: 4e9 } } })],
    ['two tokens with one id', (model) => ({ model: { ...model, vocab: { a: 1, b: 1 } } })],
    ['an empty vocabulary', (model) => ({ added_tokens: [], model: { ...model, vocab: {}, merges: [] } })],
    ['merges that are no pairs', (model) => ({ model: { ...model, merges: [['a', 'b', 'c']] } })],
    ['an added token without content', () => ({ added_tokens: [{ id: 1, content: '' }] })],
    ['an unknown pre-tokenizer', () => ({ pre_tokenizer: { type: 'Nonsense' } })],
    ['a pattern that is no regular expression', () => ({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(' } } })],
    ['a decoder that is not byte-level', () => ({ decoder: { type: 'Metaspace' } })],
    ['no decoder', () => ({ decoder: null })],
  ])('with %s is refused', async (_, changes) => {
    await expect(withChanges(changes(json.model))).rejects.toMatchObject(refused);
  });

  it('that is missing is refused', async () => {
    await expect(Tokenizer.load(join(scratch, 'nowhere'))).rejects.toMatchObject(refused);
  });
});
