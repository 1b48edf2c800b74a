import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readModelText } from './model-json.ts';
import { readTextFile } from './text-file.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'text-file-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Of zeros that take no room. */
const ofBytes = async (name: string, nBytes: number): Promise<string> => {
  const path = join(root, name);
  await writeFile(path, '');
  await truncate(path, nBytes);
  return path;
};

describe("a text file of a model's folder", () => {
  it('is read; one that is not there is null', async () => {
    await writeFile(join(root, 'a.json'), '{"é": 1}');
    expect(await readTextFile(join(root, 'a.json'))).toBe('{"é": 1}');
    expect(await readTextFile(join(root, 'b.json'))).toBeNull();
  });

  it.each([
    ['config.json', 4 * 2 ** 20],
    ['model.safetensors.index.json', 32 * 2 ** 20],
  ])('is not read when %s is larger than any of its kind', async (name, bytesMax) => {
    expect(await readTextFile(await ofBytes(name, bytesMax))).toHaveLength(bytesMax);
    const refusal = `${bytesMax + 1} bytes, more than the ${bytesMax} read`;
    await expect(readTextFile(await ofBytes(name, bytesMax + 1))).rejects.toThrow(refusal);
    await expect(readModelText(root, name)).rejects.toMatchObject({
      code: 'model_load_failed',
      message: `${name}: ${refusal}`,
    });
  });

  it('is not waited for when it is a pipe, nor read without end when it is a device', async () => {
    execFileSync('mkfifo', [join(root, 'pipe.json')]);
    await symlink('/dev/zero', join(root, 'zeros.json'));
    for (const name of ['pipe.json', 'zeros.json'])
      await expect(readTextFile(join(root, name))).rejects.toThrow('is not a file');
  });

  it('is refused when it leads back to itself', async () => {
    await symlink('loop.json', join(root, 'loop.json'));
    await expect(readTextFile(join(root, 'loop.json'))).rejects.toThrow('cannot be read (ELOOP)');
  });
});
