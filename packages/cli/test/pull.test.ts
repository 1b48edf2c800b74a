import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeHub } from '../../neuron/test/fake-hub.ts';
import { pullDetails } from '../src/commands/pull.ts';
import { cortex, Running, type Ended } from './run-cortex.ts';

const weights = Buffer.alloc(3 * 1024 * 1024, 7);
const config = JSON.stringify({ model_type: 'qwen3', max_position_embeddings: 1024 });

let dir: string;
let hub: FakeHub;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pull-'));
  hub = await FakeHub.start();
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const environment = (): Record<string, string> => ({ HF_ENDPOINT: hub.url, HF_HUB_CACHE: dir, HF_TOKEN: 'hf_secret' });
/** What is kept of the one blob that is not whole. */
const partialBytes = async (): Promise<number> => {
  const blobs = path.join(dir, 'models--org--tiny', 'blobs');
  const partial = (await readdir(blobs)).filter((name) => name.endsWith('.incomplete'));
  expect(partial).toHaveLength(1);
  return (await stat(path.join(blobs, partial[0] ?? ''))).size;
};
const pull = (...args: readonly string[]): Promise<Ended> => cortex(['pull', ...args], { env: environment() });

describe('cortex pull', () => {
  it('goes on where it was interrupted, with the token, into the shared cache', async () => {
    hub.addRepo('org/tiny', { 'config.json': config, 'tokenizer.json': '{}', 'model.safetensors': weights });
    hub.token = 'hf_secret';
    hub.faults.set('model.safetensors', [{ kind: 'stall', afterBytes: 1024 * 1024 }]);
    const first = new Running(['pull', 'org/tiny'], { env: environment() });
    // A line is written at each tenth of the way; where exactly depends on how the bytes arrive.
    await first.told(/ 3\d %/);
    first.child.kill('SIGINT');
    expect(await first.ended).toMatchObject({ code: 130, err: expect.stringMatching(/goes on from there\.\n$/) });
    const bytesHad = await partialBytes();
    expect(bytesHad).toBeGreaterThan(0.25 * weights.length);
    expect(bytesHad).toBeLessThanOrEqual(1024 * 1024);
    const { code, out, err } = await pull('org/tiny');
    expect(code).toBe(0);
    expect(out).toMatch(/^org\/tiny: 3.00 MB in .*\n\/.*models--org--tiny\/snapshots\/c0ffee\S+\n$/);
    expect(err).toMatch(/100 % {2}3.00 MB of 3.00 MB.*model\.safetensors/);
    expect(hub.rangesOf('model.safetensors').at(-1)).toBe(`bytes=${bytesHad}-`);
    const folder = out.trim().split('\n').at(-1) ?? '';
    expect((await readFile(path.join(folder, 'model.safetensors'))).equals(weights)).toBe(true);
  });

  it('refuses what cannot be run before it fetches the weights', async () => {
    const odd = JSON.stringify({ model_type: 'unheard_of' });
    hub.addRepo('org/odd', { 'config.json': odd, 'model.safetensors': weights });
    const refused = await pull('org/odd');
    expect([refused.code, refused.out]).toEqual([1, '']);
    expect(refused.err).toMatch(/org\/odd cannot be served: .*unheard_of/);
    expect(hub.rangesOf('model.safetensors')).toEqual([]);
    expect((await pull('org/odd', '--any-architecture')).code).toBe(0);
  });

  it('looks at the free space first, and at the name', async () => {
    hub.addRepo('org/huge', { 'config.json': config, 'model.safetensors': weights });
    hub.sizes.set('model.safetensors', 2 ** 60);
    const [huge, unknown, name] = await Promise.all([pull('org/huge'), pull('org/none'), pull('just-a-name')]);
    expect([huge.code, huge.err]).toEqual([
      1,
      expect.stringMatching(/org\/huge needs \d+ MB on the disk of .* are free/),
    ]);
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('org/none is not on')]);
    expect([name.code, name.err]).toEqual([2, 'expected ORG/NAME as on the hub, got "just-a-name"\n']);
  });
});

describe('the progress of a pull', () => {
  it('tells size, rate and time left', () => {
    const gb = 1024 ** 3;
    const progress = { file: 'model.safetensors', bytesDone: gb, bytesTotal: 4 * gb };
    expect(pullDetails(progress, gb / 10)).toBe('1 GB of 4 GB  102 MB/s  30 s left  model.safetensors');
    expect(pullDetails(progress, 0)).toBe('1 GB of 4 GB  0 B/s  model.safetensors');
    expect(pullDetails(progress, null)).toBe('1 GB of 4 GB  model.safetensors');
  });
});
