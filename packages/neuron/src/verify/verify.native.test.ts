import { cp, mkdir, mkdtemp, open, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fixtureNames } from '../../test/reference-files.ts';
import type { Verdict } from './verdict.ts';
import { verify } from './verify.ts';

const fixtures = fileURLToPath(new URL('../../../../fixtures', import.meta.url));
const model = 'qwen3_5-vl-tiny';

const verdictsOf = async (root: string): Promise<Verdict[]> => {
  const verdicts: Verdict[] = [];
  for await (const verdict of verify(root, 1)) verdicts.push(verdict);
  return verdicts;
};

/** The fixtures with one case only, its last logit a whole unit off. */
const spoilt = async (root: string, name: string): Promise<void> => {
  const cases = join(root, 'cases', model);
  await mkdir(cases, { recursive: true });
  for (const folder of ['models', 'images', 'preprocess', 'tokenizer', 'templates'])
    await symlink(join(fixtures, folder), join(root, folder));
  for (const ending of ['.json', '.safetensors'])
    await cp(join(fixtures, 'cases', model, name + ending), join(cases, name + ending));
  await using file = await open(join(cases, `${name}.safetensors`), 'r+');
  const length = Number((await file.read(Buffer.alloc(8), 0, 8, 0)).buffer.readBigUInt64LE());
  const header = JSON.parse((await file.read(Buffer.alloc(length), 0, length, 8)).buffer.toString()) as {
    readonly logits: { readonly data_offsets: readonly [number, number] };
  };
  const at = 8 + length + header.logits.data_offsets[1] - 4;
  const last = (await file.read(Buffer.alloc(4), 0, 4, at)).buffer;
  last.writeFloatLE(last.readFloatLE() + 1);
  await file.write(last, 0, 4, at);
};

describe('the reference numbers', () => {
  it('come out of the engine, every case of them, in whole and in chunks', async () => {
    const verdicts = await verdictsOf(fixtures);
    expect(verdicts.filter(({ ok }) => !ok)).toEqual([]);
    const names = fixtureNames(`cases/${model}/`, '.json').map((file) => `${model}/${file.replace('.json', '')}`);
    expect(names).toHaveLength(10);
    expect(verdicts.map(({ name }) => name)).toEqual(expect.arrayContaining(names));
  }, 120_000);

  it('that are wrong are found wrong', async () => {
    const root = await mkdtemp(join(tmpdir(), 'verify-'));
    try {
      await spoilt(root, 'short');
      const failed = (await verdictsOf(root)).filter(({ ok }) => !ok);
      expect(failed.map(({ name }) => name)).toEqual([`${model}/short`]);
      expect(failed[0]?.notes.join()).toMatch(/FAIL logits \|Δ\| 1\.0e\+0/);
    } finally {
      await rm(root, { recursive: true });
    }
  }, 60_000);
});
