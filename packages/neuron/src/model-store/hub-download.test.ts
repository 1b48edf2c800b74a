import { mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CortexError } from '@cortex/core';
import { FakeHub } from '../../test/fake-hub.ts';
import { until } from '../../test/start-server.ts';
import type { DownloadProgress } from './hub-download.ts';
import { ModelStore } from './model-store.ts';
import { wantedFiles, type RemoteFile } from './wanted-files.ts';

const id = 'org/tiny';
const weights = Buffer.alloc(300_000, 'weights ');
const repo = {
  'config.json': '{"model_type":"tiny"}',
  'tokenizer.json': '{}',
  'generation_config.json': '{}',
  'README.md': '# no',
  'model.gguf': 'no',
  'onnx/model.onnx': 'no',
  'pytorch_model.bin': 'no',
  'model.safetensors': weights,
};
const timing = { stallMs: 200, retryMs: 1 };

let cacheDir: string;
let hub: FakeHub;
beforeEach(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), 'hub-'));
  hub = await FakeHub.start();
  hub.addRepo(id, repo);
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(cacheDir, { recursive: true });
});

const newStore = (rest: { token?: string; endpoint?: string } = {}): ModelStore =>
  new ModelStore({ modelDirs: [], hubCacheDir: cacheDir, hub: { endpoint: hub.url, timing, ...rest } });

const blobsDir = (): string => path.join(cacheDir, 'models--org--tiny', 'blobs');
const blobNames = (): Promise<readonly string[]> => readdir(blobsDir()).catch(() => []);
const startOf = (range: string | null): number => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]);
/** Whether the weights arrived as they are. */
const hasWeights = async (dir: string): Promise<boolean> =>
  weights.equals(await readFile(path.join(dir, 'model.safetensors')));

const vetConfig = (config: unknown): void => {
  throw new CortexError('model_load_failed', `cannot run ${JSON.stringify(config)}`);
};

describe('a download', () => {
  it('brings what the engine reads and nothing else, in the layout that others share', async () => {
    const model = await newStore().resolve(id);
    expect(model).toMatchObject({ id, bytes: weights.length, source: 'hub_cache' });
    expect((await readdir(model.dir)).toSorted()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    expect(await hasWeights(model.dir)).toBe(true);
    expect(model.dir).toBe(path.join(cacheDir, 'models--org--tiny', 'snapshots', hub.commit));
    expect(await readFile(path.join(cacheDir, 'models--org--tiny', 'refs', 'main'), 'utf8')).toBe(hub.commit);
    const link = await readlink(path.join(model.dir, 'model.safetensors'));
    expect(link).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect((await blobNames()).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
  });

  it('happens once: afterwards the model is on disk, and the hub is not asked', async () => {
    const store = newStore();
    await store.resolve(id);
    const before = hub.requests.length;
    expect((await store.resolve(id)).id).toBe(id);
    expect((await store.list()).map((model) => model.id)).toEqual([id]);
    expect(hub.requests).toHaveLength(before);
  });

  it('is shared by all who ask for the model at once', async () => {
    const store = newStore();
    const [first, second] = await Promise.all([store.resolve(id), store.resolve(id)]);
    expect(first).toEqual(second);
    expect(hub.rangesOf('model.safetensors')).toHaveLength(1);
  });

  it('tells how far it is, up to all of it', async () => {
    const seen: DownloadProgress[] = [];
    await newStore().resolve(id, { onProgress: (progress) => seen.push(progress) });
    const done = seen.map(({ bytesDone }) => bytesDone);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toMatchObject({ file: 'model.safetensors', bytesDone: seen.at(-1)?.bytesTotal });
  });

  it('lets the config be seen before the weights are fetched', async () => {
    await expect(newStore().resolve(id, { vetConfig })).rejects.toThrow('cannot run {"model_type":"tiny"}');
    expect(hub.rangesOf('model.safetensors')).toEqual([]);
  });
});

describe('a download that is disturbed', () => {
  it('goes on where the connection broke', async () => {
    hub.faults.set('model.safetensors', [
      { kind: 'cut', afterBytes: 100_000 },
      { kind: 'cut', afterBytes: 50_000 },
    ]);
    const model = await newStore().resolve(id);
    expect(await hasWeights(model.dir)).toBe(true);
    // What a reset drops on its way is fetched again; what reached the disk is not.
    const [first, second, third] = hub.rangesOf('model.safetensors').map(startOf);
    expect(first).toBe(0);
    expect(second).toBeLessThanOrEqual(100_000);
    expect(third).toBeGreaterThanOrEqual(second ?? NaN);
    expect(third).toBeLessThanOrEqual((second ?? NaN) + 50_000);
  });

  it('goes on after the process was restarted', async () => {
    hub.faults.set('model.safetensors', [{ kind: 'stall', afterBytes: 120_000 }]);
    const abort = new AbortController();
    const stopped = newStore().resolve(id, {
      signal: abort.signal,
      onProgress: ({ file, bytesDone }) => {
        if (file === 'model.safetensors' && bytesDone > 120_000) abort.abort(new Error('stopped'));
      },
    });
    await expect(stopped).rejects.toThrow('stopped');
    expect(await newStore().list()).toEqual([]);
    const partial = (await blobNames()).find((name) => name.endsWith('.incomplete'));
    const { size } = await stat(path.join(blobsDir(), partial ?? ''));
    expect(size).toBeGreaterThan(0);
    const model = await newStore().resolve(id);
    expect(hub.rangesOf('model.safetensors')).toEqual([null, `bytes=${size}-`]);
    expect(await hasWeights(model.dir)).toBe(true);
  });

  it('gives up a silent connection and asks again', async () => {
    hub.faults.set('model.safetensors', [{ kind: 'stall', afterBytes: 10 }]);
    const model = await newStore().resolve(id);
    expect(await hasWeights(model.dir)).toBe(true);
  });

  it('starts over when a server knows no ranges', async () => {
    hub.faults.set('model.safetensors', [{ kind: 'cut', afterBytes: 100 }, { kind: 'ignore_range' }]);
    const model = await newStore().resolve(id);
    expect(await hasWeights(model.dir)).toBe(true);
  });

  it('starts over when there is more on disk than there should be', async () => {
    await newStore().resolve(id);
    const blob = (await blobNames()).find((name) => name.length === 64);
    const snapshot = path.join(cacheDir, 'models--org--tiny', 'snapshots');
    await rm(snapshot, { recursive: true });
    for (const name of await blobNames()) await rm(path.join(blobsDir(), name));
    await writeFile(path.join(blobsDir(), `${blob}.incomplete`), Buffer.alloc(weights.length + 5));
    const model = await newStore().resolve(id);
    expect(await hasWeights(model.dir)).toBe(true);
  });

  it('outlasts a hub that is busy for a moment, and not one that stays so', async () => {
    hub.faults.set('model.safetensors', [
      { kind: 'status', status: 503 },
      { kind: 'status', status: 429 },
    ]);
    expect((await newStore().resolve(id)).bytes).toBe(weights.length);
    const busy = Array.from({ length: 9 }, () => ({ kind: 'status', status: 500 }) as const);
    hub.addRepo('org/busy', repo);
    hub.faults.set('model.safetensors', busy);
    await expect(newStore().resolve('org/busy')).rejects.toMatchObject({
      code: 'upstream_error',
      message: expect.stringContaining('the hub answered 500'),
    });
  });

  it('keeps nothing that is not what the hub has', async () => {
    hub.faults.set('model.safetensors', [{ kind: 'damage' }]);
    await expect(newStore().resolve(id)).rejects.toThrow(/arrived damaged/);
    expect((await blobNames()).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
    expect(await newStore().list()).toEqual([]);
    expect(await hasWeights((await newStore().resolve(id)).dir)).toBe(true);
  });

  it('stops when it is told to', async () => {
    hub.faults.set('model.safetensors', [{ kind: 'stall', afterBytes: 10 }]);
    const abort = new AbortController();
    const stopped = newStore().resolve(id, { signal: abort.signal });
    stopped.catch(() => {});
    await until(() => hub.rangesOf('model.safetensors').length === 1);
    abort.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
  });
});

describe('access', () => {
  it('sends the token to the hub, and not to the storage it redirects to', async () => {
    hub.token = 'hub-secret';
    await newStore({ token: 'hub-secret' }).resolve(id);
    const sent = (host: string) =>
      new Set(hub.requests.filter((one) => one.host === host).map((one) => one.authorization));
    expect(sent('hub')).toEqual(new Set(['Bearer hub-secret']));
    expect(sent('storage')).toEqual(new Set([null]));
  });

  it('says what to do about a model that is not there or not open', async () => {
    await expect(newStore().resolve('org/none')).rejects.toMatchObject({
      code: 'model_not_found',
      message: expect.stringMatching(/org\/none is not on .*HF_TOKEN is not set/),
    });
    hub.token = 'right';
    await expect(newStore({ token: 'wrong' }).resolve(id)).rejects.toThrow(/the token in HF_TOKEN does not open it/);
  });

  it('says that the hub cannot be reached', async () => {
    const endpoint = 'http://127.0.0.1:1';
    await expect(newStore({ endpoint }).resolve(id)).rejects.toMatchObject({
      code: 'upstream_error',
      message: expect.stringContaining('http://127.0.0.1:1 cannot be reached'),
    });
  });

  it('does not ask the hub for names that it could not have', async () => {
    await expect(newStore().resolve('a/b/c')).rejects.toMatchObject({ code: 'model_not_found' });
    expect(hub.requests).toEqual([]);
  });

  it('leaves room on the disk', async () => {
    const huge = { 'config.json': '{}', 'model.safetensors': 'x' };
    hub.addRepo('org/huge', huge);
    hub.sizes.set('model.safetensors', 2 ** 52);
    await expect(newStore().resolve('org/huge')).rejects.toMatchObject({
      code: 'model_load_failed',
      facts: { model_id: 'org/huge', needed_mb: expect.any(Number), free_mb: expect.any(Number) },
    });
    expect(hub.rangesOf('model.safetensors')).toEqual([]);
    await expect(stat(path.join(cacheDir, 'models--org--huge', 'refs', 'main'))).rejects.toThrow(/ENOENT/);
  });
});

const file = (name: string): RemoteFile => ({ path: name, bytes: 1, digest: { kind: 'git-sha1', hex: 'a' } });
const wanted = (...names: string[]): readonly string[] =>
  wantedFiles('x', names.map(file)).map(({ path: name }) => name);

describe('wantedFiles', () => {
  it('puts the config first and the weights last', () => {
    expect(wanted('model-1.safetensors', 'tokenizer.json', 'config.json')).toEqual([
      'config.json',
      'tokenizer.json',
      'model-1.safetensors',
    ]);
  });

  it('leaves weights that are there twice, and paths, where they are', () => {
    const names = [
      'config.json',
      'model.safetensors',
      'consolidated.safetensors',
      'sub/model.safetensors',
      '../model.safetensors',
    ];
    expect(wanted(...names)).toEqual(['config.json', 'model.safetensors']);
    expect(wanted('config.json', 'weights.safetensors')).toEqual(['config.json', 'weights.safetensors']);
  });

  it('says what a repository lacks', () => {
    expect(() => wanted('model.safetensors')).toThrow(/no config\.json/);
    expect(() => wanted('config.json', 'model.gguf')).toThrow(/no safetensors weights/);
  });
});
