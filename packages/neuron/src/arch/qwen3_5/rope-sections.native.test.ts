import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen35, type GeneratedModel } from '../../../test/generated-models.ts';
import { writeCheckpoint } from '../../../test/write-checkpoint.ts';
import { openDevice } from '../../model/device-host.ts';
import { mropePositions } from '../../vision/mrope-positions.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sections-'));
});
afterAll(() => rm(root, { recursive: true }));

const generated = tinyQwen35({ vision: true });

const withSections = (sections: readonly number[]): GeneratedModel => {
  const text = generated.config['text_config'] as { readonly rope_parameters: object };
  const rope = { ...text.rope_parameters, mrope_section: sections };
  return { ...generated, config: { ...generated.config, text_config: { ...text, rope_parameters: rope } } };
};

const ids = Int32Array.from({ length: 40 }, (_, i) => (i * 37) % 600);

/** By the text-only path and by the one for prompts with images. */
const logitsOf = async (sections: readonly number[]): Promise<{ text: Float32Array; vision: Float32Array }> => {
  const dir = join(root, sections.join('-'));
  await writeCheckpoint(dir, withSections(sections));
  using host = openDevice({ index: 0, threads: 1 });
  using model = await host.loadModel(
    {
      modelId: 'acme/tiny',
      dir,
      weightType: 'f32',
      kvCacheType: 'f32',
      contextMax: 256,
      kvTokens: 512,
      nSlots: 2,
      chunkMax: 64,
    },
    () => undefined,
  );
  using reading = model.open(64)!;
  using seeing = model.open(64)!;
  const prompt = { ids, positions: mropePositions(ids, 632, []), embeds: [] };
  return {
    text: model.forward(reading, ids, 0, 'all').slice(),
    vision: model.forwardWithVision(seeing, ids, 0, prompt, 632, 'all'),
  };
};

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? NaN))), 0);

describe('M-RoPE sections', () => {
  // Pairs that their own axis' section no longer reaches are rotated by t, as in the reference.
  it.each([[[6, 4, 6]], [[10, 3, 3]], [[16, 0, 0]]])('%j do not matter where all axes agree', async (sections) => {
    const even = await logitsOf([6, 5, 5]);
    const other = await logitsOf(sections);
    expect(distance(other.text, even.text)).toBe(0);
    expect(distance(other.vision, even.text)).toBe(0);
  });
});
