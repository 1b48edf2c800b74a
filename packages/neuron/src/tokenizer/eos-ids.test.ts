import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { eosIds } from './eos-ids.ts';
import { readTokenizerDefinition } from './tokenizer-files.ts';
import { Vocabulary } from './vocabulary.ts';

const dir = fileURLToPath(new URL('../../../../fixtures/tokenizer', import.meta.url));
const vocabulary = Vocabulary.of(await readTokenizerDefinition(dir));
const none = { generationConfig: null, config: {}, tokenizerConfig: {} };

describe('eosIds', () => {
  it('is the union of what every file says', () => {
    const ids = eosIds(
      {
        generationConfig: { eos_token_id: [628, 626] },
        config: { eos_token_id: null, text_config: { eos_token_id: 7 } },
        tokenizerConfig: { eos_token: '<|im_end|>' },
      },
      vocabulary,
    );
    expect(ids).toEqual([7, 626, 628]);
  });

  it('takes a single id as well as a list', () => {
    expect(eosIds({ ...none, config: { eos_token_id: 5 } }, vocabulary)).toEqual([5]);
  });

  it('leaves out ids and names the vocabulary does not have', () => {
    const sources = { ...none, config: { eos_token_id: [640, -3] }, tokenizerConfig: { eos_token: '</s>' } };
    expect(eosIds(sources, vocabulary)).toEqual([]);
  });

  it('refuses ids that are no numbers, naming the file', () => {
    expect(() => eosIds({ ...none, generationConfig: { eos_token_id: 'x' } }, vocabulary)).toThrow(
      expect.objectContaining({
        code: 'model_load_failed',
        message: expect.stringContaining('generation_config.json: eos_token_id'),
      }),
    );
  });
});
