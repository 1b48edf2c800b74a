/** A KV cache in blocks of 8 bits: what it costs in accuracy on the reference's and on generated models, and its refusals. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openLibrary } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe } from '../../test/generated-models.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { Random } from '../sampling/random.ts';
import { openDevice } from './device-host.ts';
import type { DeviceHost, ModelOptions } from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { alongRows } from './weight-spec.ts';

const device = openLibrary().devices.find(({ type }) => type === 'cpu');
if (device === undefined) throw new Error('ggml finds no CPU');

const nPrompt = 200;
const nTokens = 220;
const random = new Random(11);
const ids = Int32Array.from({ length: nTokens }, () => Math.floor(random.next() * 600));

let host: DeviceHost;
let root: string;
beforeAll(async () => {
  host = openDevice({ index: device.index, threads: 1 });
  root = await mkdtemp(join(tmpdir(), 'kv-'));
});
afterAll(async () => {
  host[Symbol.dispose]();
  await rm(root, { recursive: true });
});

/** Rows of a prompt in two chunks and of tokens decoded behind it, and the bytes that the model took. */
const run = async (dir: string, kvCacheType: ModelOptions['kvCacheType']) => {
  const options = { modelId: 'acme/tiny', dir, weightType: 'f32', contextMax: 512, kvTokens: 1024, nSlots: 2 } as const;
  using model = await host.loadModel({ ...options, kvCacheType, chunkMax: 256 }, () => undefined);
  using sequence = model.open(256);
  if (sequence === null) throw new Error('no slot is free');
  const rows = [
    model.forward(sequence, ids.slice(0, 150), 0, 'all').slice(),
    model.forward(sequence, ids.slice(150, nPrompt), 150, 'all').slice(),
    ...Array.from(ids.slice(nPrompt), (id) => model.decode([{ sequence, id }]).slice()),
  ];
  using copy = model.open(256);
  if (copy === null) throw new Error('no slot is free');
  using state = model.kept.saveState(sequence);
  model.kept.resume(copy, { nTokens, cells: sequence, state });
  const [again, wanted] = [copy, sequence].map((each) => model.decode([{ sequence: each, id: 3 }]).slice());
  expect(again).toEqual(wanted);
  return { logits: Float32Array.from(rows.flatMap((row) => [...row])), bytes: model.bytes };
};

const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0);

const cosine = (a: Float32Array, b: Float32Array): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

const maxAbs = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Infinity))), 0);

const fixture = fileURLToPath(new URL('../../../../fixtures/models/qwen3_5-vl-tiny/', import.meta.url));

const split = alongRows({ name: 'heads', count: 2 });

describe('a KV cache of 8 bits', () => {
  it.each([
    { name: 'qwen3', model: tinyQwen3() },
    { name: 'qwen3_moe', model: tinyQwen3Moe() },
    { name: 'qwen3_5', model: tinyQwen35({ vision: false }) },
    { name: 'qwen3_5_moe', model: tinyQwen35Moe({ vision: false }) },
    { name: "the reference's qwen3_5", model: null },
  ])('changes little, takes about half of f16, and copies exactly: $name', async ({ name, model }) => {
    const dir = model === null ? fixture : join(root, name);
    if (model !== null) await writeCheckpoint(dir, model);
    const [f32, f16, q8] = [await run(dir, 'f32'), await run(dir, 'f16'), await run(dir, 'q8_0')];
    expect(cosine(q8.logits, f32.logits)).toBeGreaterThan(0.999);
    expect(maxAbs(q8.logits, f32.logits)).toBeGreaterThan(0);
    // 32 values take 34 bytes instead of 64: of what f16 saves of f32, another 15/32 are saved.
    expect((f16.bytes - q8.bytes) / (f32.bytes - f16.bytes)).toBeCloseTo(15 / 32, 3);
  });

  it('is refused where heads are no whole blocks, with the reason', () => {
    const caches = [{ kind: 'attention', rowLength: 160, headDim: 80, split }] as const;
    expect(() => kvTypeFor(device, caches, 'q8_0')).toThrow(
      "kv_cache_type q8_0 is not possible: the model's heads of 80 values are no whole blocks of 32",
    );
    expect(kvTypeFor(device, caches, 'f16').name).toBe('f16');
  });

  it('is refused where the device has no kernel for it', () => {
    const without = Object.assign(Object.create(device) as typeof device, { supports: () => false });
    const caches = [{ kind: 'attention', rowLength: 128, headDim: 64, split }] as const;
    expect(() => kvTypeFor(without, caches, 'q8_0')).toThrow('does not attend over such a cache with heads of 64');
  });
});
