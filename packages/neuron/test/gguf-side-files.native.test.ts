/** What a GGUF file says in its keys is what the folder said that it was made of. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCheckpointFacts } from '../src/harness/checkpoint-facts.ts';
import { loadPromptSide } from '../src/harness/prompt-side.ts';
import { configuredArch } from '../src/model/configured-arch.ts';
import { readModelConfig } from '../src/model/model-config.ts';
import { openCheckpoint } from '../src/model/open-checkpoint.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { writeGguf, writeMmproj } from './write-gguf.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url));
const folder = join(fixtures, 'models/qwen3_5-vl-tiny');

let root: string;
let file: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gguf-files-'));
  [file = ''] = writeGguf(folder, join(root, 'tiny.gguf'));
  writeMmproj(folder, join(root, 'mmproj-tiny-f16.gguf'), { type: 'f16' });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const texts =
  (JSON.parse(readFileSync(join(fixtures, 'tokenizer/expected.json'), 'utf8')) as { cases?: unknown }) ?? {};

/** Every string in the expectations, whatever their form. */
const stringsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
};

describe('a GGUF file beside its tower', () => {
  it('has the tokenizer of the folder', async () => {
    const ours = await Tokenizer.load(file);
    const theirs = await Tokenizer.load(folder);
    const samples = [...stringsIn(texts), 'cafe\u0301 ÅÄÖ', '<think>a</think><|im_end|>', "नमस्ते 123 don'T"];
    expect(samples.length).toBeGreaterThan(10);
    for (const sample of samples) {
      for (const parseSpecial of [true, false]) {
        expect(ours.encode(sample, { parseSpecial })).toEqual(theirs.encode(sample, { parseSpecial }));
      }
    }
    expect(ours.vocabulary.data.added).toEqual(theirs.vocabulary.data.added);
    expect(ours.vocabulary.nTokens).toBe(theirs.vocabulary.nTokens);
  });

  it('gives the same prompt, stops at the same ids and prepares images alike', async () => {
    const ours = await loadPromptSide(file, 'acme/tiny');
    const theirs = await loadPromptSide(folder, 'acme/tiny');
    try {
      expect(ours.eosIds).toEqual(theirs.eosIds);
      expect(ours.bannedIds).toEqual(theirs.bannedIds);
      expect(ours.vision).toEqual(theirs.vision);
      const input = { messages: [{ role: 'user', content: 'Hi' }], tools: [], addGenerationPrompt: true, kwargs: {} };
      const [a, b] = await Promise.all([ours, theirs].map(({ thread }) => thread.build(input as never)));
      expect(a).toEqual(b);
    } finally {
      await Promise.all([ours.close(), theirs.close()]);
    }
  });

  it('has the configuration of the folder', async () => {
    const ours = (await readModelConfig(file)) as Record<string, unknown>;
    const theirs = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<
      string,
      Record<string, unknown>
    >;
    const { num_hidden_layers, layer_types, vocab_size, head_dim } = theirs['text_config'] ?? {};
    expect(ours).toMatchObject({ model_type: 'qwen3_5', num_hidden_layers, layer_types, vocab_size, head_dim });
    const { depth, num_position_embeddings, out_hidden_size } = theirs['vision_config'] ?? {};
    expect(ours['vision_config']).toMatchObject({ depth, num_position_embeddings, out_hidden_size });
  });

  it('is named where its keys are wrong: it has no config.json', async () => {
    const [odd = ''] = writeGguf(folder, join(root, 'odd.gguf'));
    const bytes = readFileSync(odd);
    const key = Buffer.from('qwen35.attention.layer_norm_rms_epsilon');
    bytes.writeFloatLE(-1, bytes.indexOf(key) + key.length + 4);
    writeFileSync(odd, bytes);
    using checkpoint = await openCheckpoint(odd);
    expect(() => configuredArch(checkpoint)).toThrow(/^odd\.gguf, as config\.json: .*rms_norm_eps/);
  });

  it('is known not to be servable before it is loaded, where its tokenizer is of another kind', async () => {
    const bytes = readFileSync(file);
    const key = 'tokenizer.ggml.pre';
    // Behind the name: the value's type, then its length.
    bytes.write('llama3', bytes.indexOf(key) + key.length + 12);
    const other = join(root, 'other.gguf');
    writeFileSync(other, bytes);
    const { refusal } = await readCheckpointFacts(other, ['qwen3_5']);
    expect(refusal).toMatch(/other.gguf: its tokenizer is gpt2\/llama3; gpt2 with qwen2, /);
    expect((await readCheckpointFacts(file, ['qwen3_5'])).refusal).toBeNull();
  });
});
