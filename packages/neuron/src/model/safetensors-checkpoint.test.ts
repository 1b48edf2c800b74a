import { CortexError } from '@cortex/core';
import { tensorTypes } from '@cortex/ggml';
import { readdirSync, readlinkSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsCheckpoint, expectShape } from './safetensors-checkpoint.ts';

const fixture = fileURLToPath(new URL('../../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A file of safetensors with this header; `nDataBytes` counting up follow it. */
const fileOf = (header: unknown, nDataBytes = 0): Uint8Array => {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  return Buffer.concat([length, text, Uint8Array.from({ length: nDataBytes }, (_, i) => i)]);
};

const tensorOf = (begin: number, end: number, dtype = 'F32', shape: readonly unknown[] = [(end - begin) / 4]) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

let nFolders = 0;
const folderOf = async (files: Readonly<Record<string, Uint8Array | string>>): Promise<string> => {
  const dir = join(root, `folder-${(nFolders += 1)}`);
  await mkdir(dir);
  for (const [name, bytes] of Object.entries({ 'config.json': '{}', ...files }))
    await writeFile(join(dir, name), bytes);
  return dir;
};

const folderWith = (header: unknown, nDataBytes = 0): Promise<string> =>
  folderOf({ 'model.safetensors': fileOf(header, nDataBytes) });

const lengthOnly = (length: bigint): Promise<string> => {
  const bytes = Buffer.alloc(64);
  bytes.writeBigUInt64LE(length);
  return folderOf({ 'model.safetensors': bytes });
};

const indexOf = (map: Readonly<Record<string, unknown>>): string => JSON.stringify({ weight_map: map });

/** Files in `dir` that this process holds open. */
const openFilesIn = (dir: string): readonly string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)].filter((file) => file.startsWith(dir));
    } catch {
      return [];
    }
  });

/** What opening it fails with. */
const refusalOf = async (dir: string): Promise<string> => {
  const error = await SafetensorsCheckpoint.open(dir).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof CortexError ? `${error.code}: ${error.message}` : `not refused: ${String(error)}`;
};

/** Matches a load failure that says this. */
const loadFailure = (message: RegExp): RegExp => new RegExp(`^model_load_failed: .*${message.source}`);

describe('a checkpoint of safetensors', () => {
  it('opens every shard of a sharded checkpoint', async () => {
    using checkpoint = await SafetensorsCheckpoint.open(fixture);
    expect(checkpoint.config).toMatchObject({ model_type: 'qwen3_5' });
    expect(checkpoint.names).toHaveLength(125);
    expect(checkpoint.has('model.visual.pos_embed.weight')).toBe(true);
    expect(checkpoint.has('lm_head.weight')).toBe(false);
    expect(checkpoint.tensor('model.visual.patch_embed.proj.weight')).toEqual({
      name: 'model.visual.patch_embed.proj.weight',
      type: tensorTypes.f32,
      shape: [144, 3, 2, 16, 16],
      nBytes: 144 * 3 * 2 * 16 * 16 * 4,
    });
  });

  it('reads a tensor whole and in parts', async () => {
    const header = { a: tensorOf(0, 8), b: tensorOf(8, 16, 'BF16', [2, 2]), __metadata__: { format: 'pt' } };
    using checkpoint = await SafetensorsCheckpoint.open(await folderWith(header, 16));
    const whole = new Uint8Array(8);
    checkpoint.read(checkpoint.tensor('b'), 0, whole);
    expect([...whole]).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    const part = new Uint8Array(3);
    checkpoint.read(checkpoint.tensor('a'), 5, part);
    expect([...part]).toEqual([5, 6, 7]);
    checkpoint.read(checkpoint.tensor('a'), 8, new Uint8Array(0));
    expect(checkpoint.names).toEqual(['a', 'b']);
  });

  it('reads nothing outside the tensor', async () => {
    using checkpoint = await SafetensorsCheckpoint.open(
      await folderWith({ a: tensorOf(0, 8), b: tensorOf(8, 16) }, 16),
    );
    const tensor = checkpoint.tensor('a');
    for (const offset of [-1, 5, 9, 0.5, Number.NaN, 2 ** 60])
      expect(() => checkpoint.read(tensor, offset, new Uint8Array(4))).toThrow(
        expect.objectContaining({ code: 'internal_error' }) as Error,
      );
  });

  it('reads nothing once closed', async () => {
    const checkpoint = await SafetensorsCheckpoint.open(await folderWith({ a: tensorOf(0, 8) }, 8));
    const tensor = checkpoint.tensor('a');
    checkpoint.close();
    checkpoint.close();
    expect(() => checkpoint.read(tensor, 0, new Uint8Array(4))).toThrow('closed');
  });

  it('says which tensor is missing from which checkpoint', async () => {
    using checkpoint = await SafetensorsCheckpoint.open(fixture);
    expect(() => checkpoint.tensor('lm_head.weight')).toThrow(
      expect.objectContaining({
        code: 'model_load_failed',
        message: 'tensor "lm_head.weight" is missing from checkpoint qwen3_5-vl-tiny',
      }) as Error,
    );
  });

  it('refuses a type that it does not read only when that tensor is asked for', async () => {
    const header = { a: tensorOf(0, 8), scaled: tensorOf(8, 12, 'F8_E4M3', [4]), odd: tensorOf(12, 13, 'X9', [2]) };
    using checkpoint = await SafetensorsCheckpoint.open(await folderWith(header, 13));
    expect(checkpoint.has('scaled')).toBe(true);
    expect(checkpoint.tensor('a').nBytes).toBe(8);
    expect(() => checkpoint.tensor('scaled')).toThrow(/"scaled" of checkpoint .* is of type "F8_E4M3".*not supported/);
    expect(() => checkpoint.tensor('odd')).toThrow('"X9"');
  });

  it('says what became of a file that is cut while it is open', async () => {
    const dir = await folderWith({ a: tensorOf(0, 8), b: tensorOf(8, 64) }, 64);
    using checkpoint = await SafetensorsCheckpoint.open(dir);
    await truncate(join(dir, 'model.safetensors'), 120);
    expect(() => checkpoint.read(checkpoint.tensor('b'), 0, new Uint8Array(56))).toThrow(
      expect.objectContaining({
        code: 'model_load_failed',
        message: expect.stringMatching(/tensor "b"; it became shorter/) as string,
      }) as Error,
    );
  });

  it.skipIf(process.platform !== 'linux')('leaves no file open once closed or refused', async () => {
    const index = indexOf({ a: 'good.safetensors', b: 'bad.safetensors' });
    const good = fileOf({ a: tensorOf(0, 8) }, 8);
    const dir = await folderOf({ 'model.safetensors.index.json': index, 'good.safetensors': good });
    await writeFile(join(dir, 'bad.safetensors'), 'bad');
    expect(await refusalOf(dir)).toMatch(loadFailure(/too short/));
    expect(openFilesIn(dir)).toEqual([]);
    await writeFile(join(dir, 'bad.safetensors'), fileOf({ b: tensorOf(0, 8) }, 8));
    const checkpoint = await SafetensorsCheckpoint.open(dir);
    expect(openFilesIn(dir)).toHaveLength(2);
    checkpoint.close();
    expect(openFilesIn(dir)).toEqual([]);
  });
});

describe('a hostile header', () => {
  const within = { a: tensorOf(0, 8) };

  it.each([
    ['is cut within its length', () => folderOf({ 'model.safetensors': 'abc' }), /is 3 bytes, too short/],
    ['is empty', () => folderOf({ 'model.safetensors': '' }), /is 0 bytes, too short/],
    ['is longer than the file', () => lengthOnly(57n), /57 bytes does not fit in the file of 64/],
    ['is absurdly long', () => lengthOnly(2n ** 64n - 1n), /18446744073709551615 bytes is larger/],
    ['is over the limit', () => lengthOnly(100_000_001n), /larger than the 100000000/],
    ['is not JSON', () => folderWith('{"a":'), /not JSON/],
    [
      'is not UTF-8',
      () => folderOf({ 'model.safetensors': Buffer.from('0400000000000000227bff22', 'hex') }),
      /not JSON/,
    ],
    ['is not an object', () => folderWith([within]), /not a JSON object/],
    ['is null', () => folderWith(null), /not a JSON object/],
    ['has an entry that is no object', () => folderWith({ a: 3 }), /entry of "a" is malformed/],
    ['lacks offsets', () => folderWith({ a: { dtype: 'F32', shape: [] } }), /entry of "a" is malformed/],
    ['has a negative offset', () => folderWith({ a: tensorOf(-4, 4) }, 8), /entry of "a" is malformed/],
    ['has a fractional offset', () => folderWith({ a: tensorOf(0.5, 4) }, 8), /entry of "a" is malformed/],
    ['has offsets out of order', () => folderWith({ a: tensorOf(8, 4, 'F32', [1]) }, 8), /ends at byte 4, before/],
    ['reaches outside the file', () => folderWith({ a: tensorOf(0, 12) }, 8), /ends at byte 12 of 8.*truncated/],
    ['has bytes behind it', () => folderWith({ a: tensorOf(0, 8) }, 12), /has 4 bytes behind its last tensor/],
    ['overlaps', () => folderWith({ a: tensorOf(0, 8), b: tensorOf(4, 12) }, 16), /"a" and "b" overlap/],
    ['overlaps by containing', () => folderWith({ a: tensorOf(4, 8), b: tensorOf(0, 12) }, 16), /overlap/],
    ['does not match its shape', () => folderWith({ a: tensorOf(0, 8, 'F32', [3]) }, 8), /shape \[3\] has 8 bytes/],
    ['does not match its type', () => folderWith({ a: tensorOf(0, 8, 'F16', [2]) }, 8), /F16 .* has 8 bytes/],
    ['has a negative axis', () => folderWith({ a: tensorOf(0, 8, 'F32', [-1, -2]) }, 8), /entry of "a" is malformed/],
    ['has an absurd axis', () => folderWith({ a: tensorOf(0, 8, 'F32', [2 ** 60]) }, 8), /entry of "a" is malformed/],
    [
      'has an absurd product',
      () => folderWith({ a: tensorOf(0, 8, 'F32', [2 ** 40, 2 ** 40, 2 ** 40]) }, 8),
      /has 8 bytes/,
    ],
    [
      'has absurdly many axes',
      () =>
        folderWith(
          {
            a: tensorOf(
              0,
              4,
              'F32',
              Array.from({ length: 9 }, () => 1),
            ),
          },
          4,
        ),
      /entry of "a" is malformed/,
    ],
  ])('that %s is refused', async (_, make, message) => {
    expect(await refusalOf(await make())).toMatch(loadFailure(message));
  });

  it('cannot flood a message with a name', async () => {
    const dir = await folderWith({ ['x'.repeat(1_000_000)]: 1 });
    const error = await SafetensorsCheckpoint.open(dir).catch((thrown: unknown) => thrown);
    expect((error as Error).message.length).toBeLessThan(400);
  });

  it('may have empty tensors on a border', async () => {
    const header = { a: tensorOf(0, 8), none: tensorOf(8, 8, 'F32', [0, 5]), b: tensorOf(8, 16) };
    using checkpoint = await SafetensorsCheckpoint.open(await folderWith(header, 16));
    expect(checkpoint.tensor('none').nBytes).toBe(0);
  });

  it('is not checked tensor by tensor when it has more of them than any', async () => {
    const n = 262_145;
    const entry = JSON.stringify(tensorOf(0, 0, 'F32', [0]));
    const header = `{${Array.from({ length: n }, (_, i) => `"${i}":${entry}`).join()}}`;
    await expect(SafetensorsCheckpoint.open(await folderWith(header))).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining(`has ${n} tensors, more than the 262144 read`) as string,
    });
  });
});

describe('the files of a checkpoint', () => {
  const one = fileOf({ a: tensorOf(0, 8) }, 8);
  const two = fileOf({ b: tensorOf(0, 8) }, 8);
  const index = 'model.safetensors.index.json';

  it('are those that the index names', async () => {
    const dir = await folderOf({
      [index]: indexOf({ a: 'one.safetensors', b: 'two.safetensors' }),
      'one.safetensors': one,
      'two.safetensors': two,
    });
    using checkpoint = await SafetensorsCheckpoint.open(dir);
    expect(checkpoint.names).toEqual(['a', 'b']);
  });

  it('may be a single one of another name, found through a link', async () => {
    const dir = await folderOf({ 'adapter_model.safetensors': 'not looked at' });
    await writeFile(join(root, 'blob'), one);
    await symlink(join(root, 'blob'), join(dir, 'weights.safetensors'));
    using checkpoint = await SafetensorsCheckpoint.open(dir);
    expect(checkpoint.names).toEqual(['a']);
  });

  it('may be a whole set of shards without an index', async () => {
    const [first, second] = ['x-00001-of-00002.safetensors', 'x-00002-of-00002.safetensors'];
    using checkpoint = await SafetensorsCheckpoint.open(await folderOf({ [first]: one, [second]: two }));
    expect(checkpoint.names).toEqual(['a', 'b']);
    expect(await refusalOf(await folderOf({ [first]: one, 'x-00003-of-00002.safetensors': two }))).toMatch(
      loadFailure(/2 \*\.safetensors files/),
    );
    expect(await refusalOf(await folderOf({ [first]: one, [second]: one }))).toMatch(
      loadFailure(/"a" is both in .*00001.* and in .*00002/),
    );
  });

  it.each([
    ['there are none', {}, /no \*\.safetensors file/],
    ['several have no index', { 'a.safetensors': one, 'b.safetensors': two }, /2 \*\.safetensors files and no/],
    ['the index is not JSON', { [index]: '{' }, /not JSON/],
    ['the index has no map', { [index]: '{}' }, /weight_map/],
    ['the index maps nothing', { [index]: indexOf({}) }, /names no tensors/],
    [
      'the index names a missing file',
      { [index]: indexOf({ a: 'gone.safetensors' }) },
      /gone\.safetensors, which is missing/,
    ],
    ['the index leads out of the folder', { [index]: indexOf({ a: '../x.safetensors' }) }, /a file that cannot be/],
    ['the index names an absolute path', { [index]: indexOf({ a: '/x.safetensors' }) }, /a file that cannot be/],
    ['the index names a number', { [index]: indexOf({ a: 3 }) }, /a file that cannot be/],
    [
      'a shard lacks a tensor',
      { [index]: indexOf({ a: 'one.safetensors', b: 'one.safetensors' }), 'one.safetensors': one },
      /one\.safetensors: lacks tensor "b"/,
    ],
    ['the config is not JSON', { 'model.safetensors': one, 'config.json': '{' }, /config\.json: is not JSON/],
    ['the config is no object', { 'model.safetensors': one, 'config.json': '[]' }, /config\.json/],
  ])('are refused when %s', async (_, files, message) => {
    expect(await refusalOf(await folderOf(files))).toMatch(loadFailure(message));
  });

  it('are refused when one is a folder', async () => {
    const dir = await folderOf({});
    await mkdir(join(dir, 'model.safetensors'));
    expect(await refusalOf(dir)).toMatch(loadFailure(/is not a file/));
  });

  it('are refused when one cannot be followed to a file', async () => {
    const dir = await folderOf({});
    await symlink(join(dir, 'gone'), join(dir, 'model.safetensors'));
    expect(await refusalOf(dir)).toMatch(loadFailure(/cannot be read \(ENOENT\)/));
  });

  it('are refused without a config or a folder', async () => {
    const dir = await folderWith({ a: tensorOf(0, 8) }, 8);
    await rm(join(dir, 'config.json'));
    expect(await refusalOf(dir)).toMatch(loadFailure(/config\.json is missing/));
    expect(await refusalOf(join(root, 'nowhere'))).toMatch(loadFailure(/nowhere: config\.json is missing/));
  });

  it('are refused when a real one is cut', async () => {
    const dir = join(root, 'cut');
    await cp(fixture, dir, { recursive: true });
    await truncate(join(dir, 'model-00007-of-00013.safetensors'), 100_000);
    expect(await refusalOf(dir)).toMatch(loadFailure(/cut\/model-00007-of-00013\.safetensors: tensor .* truncated/));
  });
});

describe('expectShape', () => {
  it('names the tensor, its shape and the one wanted', () => {
    const tensor = { name: 'a.weight', type: tensorTypes.f32, shape: [3, 4], nBytes: 48 } as const;
    expect(() => expectShape(tensor, [3, 4])).not.toThrow();
    for (const wanted of [[4, 3], [3], [3, 4, 1]])
      expect(() => expectShape(tensor, wanted)).toThrow(
        `tensor "a.weight" has shape [3, 4], expected [${wanted.join(', ')}]`,
      );
  });
});
