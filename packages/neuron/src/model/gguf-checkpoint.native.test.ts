import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CortexError } from '@cortex/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen3 } from '../../test/generated-models.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { writeGguf } from '../../test/write-gguf.ts';
import { GgufCheckpoint } from './gguf-checkpoint.ts';

let root: string;
let whole: string;
let parts: readonly string[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gguf-checkpoint-'));
  await writeCheckpoint(join(root, 'hf'), tinyQwen3());
  [whole = ''] = writeGguf(join(root, 'hf'), join(root, 'whole.gguf'));
  parts = writeGguf(join(root, 'hf'), join(root, 'cut.gguf'), { nSplits: 3 });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const refusalOf = async (file: string): Promise<string> => {
  const error: unknown = await GgufCheckpoint.open(file).then(
    (checkpoint) => {
      checkpoint[Symbol.dispose]();
      return null;
    },
    (thrown: unknown) => thrown,
  );
  return error instanceof CortexError ? `${error.code}: ${error.message}` : String(error);
};

/** The whole file with one tensor's entry changed: `change` is given the place behind its name. */
const withTensor = async (name: string, change: (bytes: Buffer, at: number) => void): Promise<string> => {
  const bytes = await readFile(whole);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(name.length));
  change(bytes, bytes.indexOf(Buffer.concat([length, Buffer.from(name)])) + 8 + name.length);
  const file = join(root, `changed-${Math.random()}.gguf`);
  await writeFile(file, bytes);
  return file;
};

describe('a GGUF checkpoint', () => {
  it('gives a tensor the same bytes read and mapped, from one file and from parts', async () => {
    using one = await GgufCheckpoint.open(whole);
    using split = await GgufCheckpoint.open(parts[0]!);
    expect(split.names.toSorted()).toEqual(one.names.toSorted());
    for (const name of ['token_embd.weight', 'blk.2.ffn_down.weight', 'output_norm.weight']) {
      const tensor = one.tensor(name);
      const read = new Uint8Array(tensor.nBytes);
      one.read(tensor, 0, read);
      const mapped = split.mapped(split.tensor(name))!;
      expect(Buffer.compare(mapped.mapping.view(mapped.offset, mapped.nBytes), read)).toBe(0);
    }
    const norm = one.tensor('output_norm.weight');
    expect(norm).toMatchObject({ shape: [160], nBytes: 640 });
    expect(() => one.read(norm, 4, new Uint8Array(640))).toThrow('not within tensor output_norm.weight');
    expect(() => one.tensor('blk.9.attn_q.weight')).toThrow('"blk.9.attn_q.weight" is missing');
  });

  it('is refused when it is cut short, within its header or within its data', async () => {
    const bytes = await readFile(whole);
    const file = join(root, 'short.gguf');
    await writeFile(file, bytes.subarray(0, 5000));
    expect(await refusalOf(file)).toBe('model_load_failed: short.gguf: a list of 640 texts does not fit in the file');
    await writeFile(file, bytes);
    await truncate(file, bytes.length - 64);
    expect(await refusalOf(file)).toMatch(/^model_load_failed: short.gguf: tensor ".*" ends at byte .* truncated/);
  });

  it('is refused when tensors overlap, leave the file, or are no whole blocks', async () => {
    const [axes, type, offset] = [0, 20, 24];
    const overlapping = await withTensor('blk.0.attn_q.weight', (bytes, at) => bytes.writeBigUInt64LE(0n, at + offset));
    expect(await refusalOf(overlapping)).toMatch(/overlaps the one before it/);
    const outside = await withTensor('blk.0.attn_q.weight', (bytes, at) =>
      bytes.writeBigUInt64LE(2n ** 40n, at + offset),
    );
    expect(await refusalOf(outside)).toMatch(/ends at byte .* truncated/);
    const large = await withTensor('blk.0.attn_q.weight', (bytes, at) =>
      bytes.writeBigUInt64LE(2n ** 30n, at + axes + 4),
    );
    expect(await refusalOf(large)).toMatch(/"blk.0.attn_q.weight" (ends|overlaps)|overlaps the one before/);
    const blocks = await withTensor('blk.0.attn_q.weight', (bytes, at) => bytes.writeUInt32LE(12, at + type));
    expect(await refusalOf(blocks)).toMatch(/rows of 160, no multiple of q4_K's 256/);
  });

  // 4 is of old files, 26 and 27 are integers.
  it.each([4, 26, 27])(
    'says that a tensor is of type %i, which nothing here reads, once it is asked for',
    async (id) => {
      using checkpoint = await GgufCheckpoint.open(
        await withTensor('output_norm.weight', (b, at) => b.writeUInt32LE(id, at + 12)),
      );
      expect(() => checkpoint.tensor('output_norm.weight')).toThrow(`"output_norm.weight" is of type ${id}`);
    },
  );

  it('is refused when it has more layers than it says: fewer would answer, and wrongly', async () => {
    const bytes = await readFile(whole);
    const key = 'qwen3.block_count';
    // The value lies behind the name and its type.
    bytes.writeUInt32LE(2, bytes.indexOf(key) + key.length + 4);
    const file = join(root, 'fewer.gguf');
    await writeFile(file, bytes);
    expect(await refusalOf(file)).toMatch(/fewer.gguf: tensor "blk.2.\S+" is of a layer beyond the 2 of block_count/);
  });

  it('is refused with a part of it alone', async () => {
    const alone = join(root, 'alone.gguf');
    await writeFile(alone, await readFile(parts[0]!));
    expect(await refusalOf(alone)).toMatch(/is part of 3, and not the first/);
  });

  it('is refused when it is of an architecture that is not built here', async () => {
    const bytes = await readFile(whole);
    bytes.write('llama', bytes.indexOf('qwen3'));
    const file = join(root, 'other.gguf');
    await writeFile(file, bytes);
    expect(await refusalOf(file)).toMatch(/general.architecture is "llama"; this build runs qwen3, qwen3moe, qwen35/);
  });
});
