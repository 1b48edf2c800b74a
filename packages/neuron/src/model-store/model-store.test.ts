import { mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { assert, property, string } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shardsOfIndex } from './checkpoint-folder.ts';
import { hubCacheDir } from './hub-cache.ts';
import { isHubId, modelIdParts } from './model-id.ts';
import { ModelStore } from './model-store.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'store-'));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

const dirs = (): string => path.join(root, 'models');
const cache = (): string => path.join(root, 'hub');
const newStore = (modelDirs: readonly string[] = [dirs()]): ModelStore =>
  new ModelStore({ modelDirs, hubCacheDir: cache(), hub: null });

const write = async (dir: string, files: Readonly<Record<string, string>>): Promise<void> => {
  await mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(dir, name), text);
};
const single = { 'config.json': '{}', 'model.safetensors': '12345' };
const index = (...names: string[]): string =>
  JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [`t${i}`, name])) });

/** A repository in the cache's layout, its files linked to blobs as the Python library does. */
const cached = async (id: string, files: Readonly<Record<string, string>>, commit = 'abc123'): Promise<string> => {
  const repo = path.join(cache(), `models--${id.replace('/', '--')}`);
  const snapshot = path.join(repo, 'snapshots', commit);
  await mkdir(snapshot, { recursive: true });
  await write(path.join(repo, 'refs'), { main: commit });
  for (const [name, text] of Object.entries(files)) {
    await write(path.join(repo, 'blobs'), { [`blob-${name}`]: text });
    await symlink(`../../blobs/blob-${name}`, path.join(snapshot, name));
  }
  return snapshot;
};

const ids = async (store: ModelStore): Promise<readonly string[]> => (await store.list()).map(({ id }) => id);

describe('model ids', () => {
  it.each([
    '../x',
    'a/../b',
    '/etc',
    'a//b',
    'a/',
    '',
    '.',
    'a/.hidden',
    'a\\b',
    'a\0b',
    'a\nb',
    '~/x',
    'x'.repeat(300),
  ])('refuses %j before it touches the disk', async (id) => {
    await expect(newStore().find(id)).rejects.toMatchObject({ code: 'invalid_request', param: 'model' });
  });

  it('never lead out of the folder they are looked up in', () => {
    assert(
      property(string({ maxLength: 40 }), (id) => {
        let parts: readonly string[];
        try {
          parts = modelIdParts(id);
        } catch {
          return;
        }
        expect(path.relative('/base', path.join('/base', ...parts))).toBe(id);
      }),
      { examples: [['a/b'], ['../b'], ['a/./b'], ['a/..']] },
    );
  });

  it('are the hub ids only where the hub would take them', () => {
    expect(['Qwen/Qwen3.5-0.8B', 'gpt2'].map(isHubId)).toEqual([true, true]);
    expect(['a/b/c', 'a--b/c', 'a b/c', '-a/b', 'a/b..c'].map(isHubId)).toEqual([false, false, false, false, false]);
  });
});

describe('folders of models', () => {
  it('hold checkpoints by name or by organisation and name', async () => {
    await write(path.join(dirs(), 'plain'), single);
    await write(path.join(dirs(), 'org', 'named'), single);
    const store = newStore();
    expect(await ids(store)).toEqual(['org/named', 'plain']);
    expect(await store.find('org/named')).toEqual({
      id: 'org/named',
      dir: path.join(dirs(), 'org', 'named'),
      bytes: 5,
      source: 'folder',
    });
  });

  it('may themselves be a checkpoint, called by the name of the folder', async () => {
    const dir = path.join(dirs(), 'plain');
    await write(dir, single);
    const store = newStore([dir]);
    expect(await ids(store)).toEqual(['plain']);
    expect((await store.find('plain'))?.dir).toBe(dir);
  });

  it('come in order, and all before the cache', async () => {
    await write(path.join(root, 'second', 'org', 'twice'), single);
    await write(path.join(dirs(), 'org', 'twice'), single);
    await cached('org/twice', single);
    const store = newStore([dirs(), path.join(root, 'second')]);
    expect(await store.list()).toMatchObject([{ id: 'org/twice', dir: path.join(dirs(), 'org', 'twice') }]);
  });

  it('that do not exist are empty', async () => {
    expect(await newStore([path.join(root, 'nowhere')]).list()).toEqual([]);
  });

  it('show new and vanished models at the next look', async () => {
    const store = newStore();
    await write(path.join(dirs(), 'one'), single);
    expect(await ids(store)).toEqual(['one']);
    await write(path.join(dirs(), 'two'), single);
    await rm(path.join(dirs(), 'one'), { recursive: true });
    expect(await ids(store)).toEqual(['two']);
  });

  it('are looked at anew when a checkpoint has changed', async () => {
    const dir = path.join(dirs(), 'one');
    await write(dir, single);
    const store = newStore();
    expect((await store.find('one'))?.bytes).toBe(5);
    await rm(path.join(dir, 'model.safetensors'));
    await utimes(dir, 1, 1);
    expect(await store.find('one')).toBeNull();
  });
});

const found = async (files: Readonly<Record<string, string>>): Promise<number | null> => {
  await write(path.join(dirs(), 'one'), files);
  return (await newStore().find('one'))?.bytes ?? null;
};
const shard = (i: number): string => `model-0000${i}-of-00002.safetensors`;

describe('a checkpoint', () => {
  it.each<[string, Record<string, string>, number | null]>([
    ['one file', single, 5],
    [
      'shards with their index',
      {
        'config.json': '{}',
        'model.safetensors.index.json': index(shard(1), shard(2)),
        [shard(1)]: 'abc',
        [shard(2)]: 'de',
      },
      5,
    ],
    ['shards without an index', { 'config.json': '{}', [shard(1)]: 'abc', [shard(2)]: 'de' }, 5],
    ['no config', { 'model.safetensors': '12345' }, null],
    ['no weights', { 'config.json': '{}' }, null],
    [
      'a shard missing from its index',
      { 'config.json': '{}', 'model.safetensors.index.json': index(shard(1), shard(2)), [shard(1)]: 'abc' },
      null,
    ],
    ['a shard missing from the count', { 'config.json': '{}', [shard(2)]: 'abc' }, null],
    ['an index that is not JSON', { ...single, 'model.safetensors.index.json': '{' }, null],
    ['an index without a map', { ...single, 'model.safetensors.index.json': '[]' }, null],
    ['an adapter alone', { 'config.json': '{}', 'adapter_model.safetensors': '1' }, null],
  ])('of %s is whole or is not offered', async (_what, files, bytes) => {
    expect(await found(files)).toBe(bytes);
    expect(await newStore().list()).toHaveLength(bytes === null ? 0 : 1);
  });

  it('is not offered with an index larger than any, or of more files than any', async () => {
    const dir = path.join(dirs(), 'large');
    const indexFile = path.join(dir, 'model.safetensors.index.json');
    await write(dir, { ...single, 'model.safetensors.index.json': '' });
    await truncate(indexFile, 2 ** 33);
    await expect(newStore().resolve('large')).rejects.toThrow('index.json: 8589934592 bytes, more than');
    const many = Array.from({ length: 10_001 }, (_, i) => `m${i}.safetensors`);
    expect(shardsOfIndex(index(...many))).toBe('model.safetensors.index.json names more than 10000 files');
  });

  it('does not count files outside its folder as its own', () => {
    expect(shardsOfIndex(index('../../secret.safetensors'))).toMatch(/cannot be/);
    expect(shardsOfIndex('{"weight_map": {"a": 5}}')).toMatch(/cannot be/);
    expect(shardsOfIndex('{"weight_map": {}}')).toMatch(/cannot be/);
  });
});

describe('the Hugging Face cache', () => {
  it.each([
    [{ HF_HUB_CACHE: '/a', HF_HOME: '/b' }, '/a'],
    [{ HUGGINGFACE_HUB_CACHE: '/c', HF_HOME: '/b' }, '/c'],
    [{ HF_HUB_CACHE: '', HF_HOME: '/b', XDG_CACHE_HOME: '/x' }, '/b/hub'],
    [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
    [{}, '/home/me/.cache/huggingface/hub'],
  ])('is where %j says', (env, dir) => {
    expect(hubCacheDir(env, '/home/me')).toBe(dir);
  });

  it('is read through refs and links', async () => {
    const snapshot = await cached('Qwen/Tiny', single);
    const store = newStore();
    expect(await store.list()).toEqual([{ id: 'Qwen/Tiny', dir: snapshot, bytes: 5, source: 'hub_cache' }]);
    expect((await store.find('Qwen/Tiny'))?.dir).toBe(snapshot);
  });

  it('may have real files, as on systems without links', async () => {
    await write(path.join(cache(), 'models--org--real', 'snapshots', 'abc'), single);
    await write(path.join(cache(), 'models--org--real', 'refs'), { main: 'abc\n' });
    expect(await ids(newStore())).toEqual(['org/real']);
  });

  it('offers the revision of main, and without one the newest', async () => {
    await cached('org/two', single, 'old');
    await utimes(path.join(cache(), 'models--org--two', 'snapshots', 'old'), 1, 1);
    const newer = await cached('org/two', single, 'new');
    expect((await newStore().find('org/two'))?.dir).toBe(newer);
    await rm(path.join(cache(), 'models--org--two', 'refs', 'main'));
    expect((await newStore().find('org/two'))?.dir).toBe(newer);
    await write(path.join(cache(), 'models--org--two', 'refs'), { main: 'old' });
    expect((await newStore().find('org/two'))?.dir).not.toBe(newer);
  });

  it('does not offer a download that is not whole, nor data sets, nor a ref that leads elsewhere', async () => {
    const shards = { 'config.json': '{}', 'model.safetensors.index.json': index('model-1.safetensors') };
    await cached('org/partial', shards);
    await symlink(
      '../../blobs/not-yet',
      path.join(cache(), 'models--org--partial/snapshots/abc123/model-1.safetensors'),
    );
    await write(path.join(cache(), 'datasets--org--data', 'snapshots', 'abc'), single);
    await write(path.join(cache(), 'models--org--evil', 'refs'), { main: '../../../models/plain' });
    await write(path.join(dirs(), 'plain'), single);
    const store = newStore();
    expect(await ids(store)).toEqual(['plain']);
    await writeFile(path.join(cache(), 'models--org--partial/blobs/not-yet'), 'now');
    expect(await ids(store)).toEqual(['plain', 'org/partial']);
  });
});

describe('a model that is not there', () => {
  it('is refused with the close names and what would help', async () => {
    await write(path.join(dirs(), 'org', 'Tiny-1B'), single);
    await expect(newStore().resolve('org/tiny1B')).rejects.toMatchObject({
      code: 'model_not_found',
      message: 'there is no model org/tiny1B here; did you mean org/Tiny-1B?; downloads are off (allow_download)',
      facts: { model_id: 'org/tiny1B', suggestion: 'org/Tiny-1B' },
    });
  });

  it('is told apart from one that is not whole', async () => {
    await write(path.join(dirs(), 'broken'), { 'config.json': '{}', 'a-00001-of-00002.safetensors': '1' });
    await expect(newStore().resolve('broken')).rejects.toThrow(/is not whole: missing a-00002-of-00002\.safetensors/);
  });
});

const split = (n: number, of: number): string => `big-0000${n}-of-0000${of}.gguf`;

describe('GGUF models', () => {
  it('are known by the name of their file, at each depth of a model folder', async () => {
    await write(dirs(), {
      'small.Q4_K_M.gguf': '1234',
      'mmproj-small-F16.gguf': 'x',
      'notes.txt': 'x',
      '.hidden.gguf': 'x',
    });
    await write(path.join(dirs(), 'acme'), { 'one.gguf': '12' });
    await write(path.join(dirs(), 'acme', 'repo'), { [split(1, 2)]: '123', [split(2, 2)]: '45' });
    const store = newStore();
    expect(await ids(store)).toEqual(['small.Q4_K_M', 'acme/one', 'acme/repo/big']);
    expect(await store.find('small.Q4_K_M')).toEqual({
      id: 'small.Q4_K_M',
      dir: path.join(dirs(), 'small.Q4_K_M.gguf'),
      bytes: 4,
      source: 'folder',
    });
    expect(await store.find('acme/repo/big')).toMatchObject({
      dir: path.join(dirs(), 'acme/repo', split(1, 2)),
      bytes: 5,
    });
    expect(await store.find('mmproj-small-F16')).toBeNull();
    expect(await store.find('small')).toBeNull();
  });

  it('are not whole while a part is missing, and say which', async () => {
    await write(path.join(dirs(), 'acme'), { [split(1, 3)]: '1', [split(3, 3)]: '1' });
    const store = newStore();
    expect(await ids(store)).toEqual([]);
    await expect(store.resolve('acme/big')).rejects.toThrow(`missing ${split(2, 3)}`);
    await write(path.join(dirs(), 'acme'), { [split(2, 3)]: '1' });
    expect(await ids(store)).toEqual(['acme/big']);
  });

  it('are found in the cache by repository and file, links to blobs that are still on their way are not', async () => {
    const snapshot = await cached('acme/tiny-GGUF', { 'tiny-Q8_0.gguf': '123456' });
    await symlink('../../blobs/later', path.join(snapshot, 'tiny-F16.gguf'));
    await write(path.join(snapshot, 'BF16'), { [split(1, 1)]: '1' });
    const store = newStore();
    expect(await ids(store)).toEqual(['acme/tiny-GGUF/tiny-Q8_0', 'acme/tiny-GGUF/BF16/big']);
    expect(await store.find('acme/tiny-GGUF/tiny-Q8_0')).toMatchObject({
      dir: path.join(snapshot, 'tiny-Q8_0.gguf'),
      bytes: 6,
      source: 'hub_cache',
    });
    expect(await store.find('acme/tiny-GGUF/BF16/big')).not.toBeNull();
    expect(await store.find('acme/tiny-GGUF/tiny-F16')).toBeNull();
  });
});
