import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readGgufHeader } from './gguf-file.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gguf-file-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('a GGUF file', () => {
  it('is not waited for when it is a pipe, as one may lie where a tower is looked for', async () => {
    const pipe = join(root, 'mmproj-pipe.gguf');
    execFileSync('mkfifo', [pipe]);
    await expect(readGgufHeader(pipe)).rejects.toMatchObject({
      code: 'model_load_failed',
      message: 'mmproj-pipe.gguf: is not a file',
    });
  });

  it('is refused, by name, when it is a folder, is not there, or leads back to itself', async () => {
    await symlink('loop.gguf', join(root, 'loop.gguf'));
    await expect(readGgufHeader(root)).rejects.toThrow('is not a file');
    await expect(readGgufHeader(join(root, 'none.gguf'))).rejects.toThrow('none.gguf: cannot be read (ENOENT)');
    await expect(readGgufHeader(join(root, 'loop.gguf'))).rejects.toThrow('loop.gguf: cannot be read (ELOOP)');
  });
});
