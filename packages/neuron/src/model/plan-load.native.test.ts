import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLibrary, type Device } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen35 } from '../../test/generated-models.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { configuredArch } from './configured-arch.ts';
import { openGround } from './compute-ground.ts';
import { forDrafts } from './device-host.ts';
import { measureCheckpoint } from './measure-checkpoint.ts';
import { needsFrom, planMemory, totalBytes } from './memory-plan.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { plannedBytes, planLoad, type LoadPlan } from './plan-load.ts';
import { planSharing } from './shared-needs.ts';

const cpu = openLibrary().devices.find(({ type }) => type === 'cpu');
if (cpu === undefined) throw new Error('ggml has no CPU');

/** The CPU, said to have so much memory. */
const withMemory = (freeBytes: number): Device =>
  Object.create(cpu, { memory: { value: () => ({ freeBytes, totalBytes: freeBytes }) } }) as Device;

const mb = 2 ** 20;

const downs = ({ weights }: LoadPlan): readonly number[] => {
  const place = weights.find(({ spec }) => spec.name === 'blk.0.ffn_down.weight')?.place;
  return place?.kind === 'buffer' ? (place.split?.lengths ?? []) : [];
};

describe('a load over devices of unequal memory', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'plan-'));
    await writeCheckpoint(dir, tinyQwen35({ vision: true, heads: 8, ff: 4096 }));
  });
  afterAll(() => rm(dir, { recursive: true }));

  const optionsFor = (kvTokens: number | null, nSlots: number) =>
    ({
      modelId: 'acme/tiny',
      dir,
      weightType: 'f32',
      kvCacheType: 'f32',
      contextMax: kvTokens ?? 4096,
      kvTokens,
      nSlots,
      chunkMax: 64,
      draftMax: 0,
      patchesMax: 64,
    }) as const;

  const plannedWith = async (
    options: ReturnType<typeof optionsFor>,
    freeBytes: readonly [number, number],
  ): Promise<LoadPlan> => {
    using ground = openGround({ index: cpu.index, others: [cpu.index], threads: 1 });
    using checkpoint = await openCheckpoint(dir);
    const arch = forDrafts(configuredArch(checkpoint), options);
    const [first, second] = freeBytes;
    return planLoad({ ...ground, devices: [withMemory(first), withMemory(second)] }, checkpoint, arch, options);
  };
  const planned = (...freeBytes: readonly [number, number]): Promise<LoadPlan> =>
    plannedWith(optionsFor(1024, 1), freeBytes);

  it('gives each as much as it has room for, and says what is short when all is full', async () => {
    const even = await planned(2 ** 40, 2 ** 40);
    expect(downs(even)).toEqual([2048, 2048]);
    const [first = 0, second = 0] = plannedBytes(even);
    // The tower is on the first.
    expect(first).toBeGreaterThan(second);
    const small = second - 4 * mb;
    const uneven = await planned(first + 12 * mb, small);
    expect(downs(uneven)[1]).toBeLessThan(2048);
    expect(plannedBytes(uneven)[1]).toBeLessThanOrEqual(small);
    expect(plannedBytes(uneven)[0]).toBeLessThanOrEqual(first + 12 * mb);
    await expect(planned(first, small)).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(/^CPU: \d+ MB are needed \(weights .* MB are free$/) as string,
    });
  });

  it.each([
    ['alike ones', 400, 400],
    ['the first with less', 60, 300],
    ['the second with less', 300, 40],
    ['hardly more than it takes', 60, 52],
  ])('is foreseen, with its context, before it: %s', async (_, first, second) => {
    const options = optionsFor(null, 2);
    const rooms = [first * mb, second * mb] as const;
    const { sharing } = await measureCheckpoint(cpu, { ...options, nDevices: 2 });
    if (sharing === null) throw new Error('two can share it');
    const limits = { contextMax: options.contextMax, kvTokens: null, nSlots: options.nSlots, kvShare: 0.25 };
    const { decisions } = planSharing(sharing, limits, rooms);
    const { memory } = await plannedWith(options, rooms);
    const contexts = memory.map(({ contextMax }) => contextMax);
    expect(decisions.map(({ kind, plan }) => [kind, plan.contextMax])).toEqual(contexts.map((n) => ['fits', n]));
    for (const [i, { parts }] of memory.entries())
      expect(totalBytes(parts) / totalBytes(decisions[i]!.plan.parts)).toBeCloseTo(1, 2);
  });

  it.each([400, 90])('is foreseen on one device of %i MB, with its context', async (free) => {
    const options = optionsFor(null, 2);
    using ground = openGround({ index: cpu.index, threads: 1 });
    using checkpoint = await openCheckpoint(dir);
    const arch = forDrafts(configuredArch(checkpoint), options);
    const { memory } = planLoad({ ...ground, devices: [withMemory(free * mb)] }, checkpoint, arch, options);
    const limits = { contextMax: options.contextMax, kvTokens: null, nSlots: options.nSlots, kvShare: 0.25 };
    const measured = await measureCheckpoint(cpu, options);
    const { plan } = planMemory(needsFrom(measured), { ...limits, freeBytes: free * mb });
    expect(plan.contextMax).toBe(memory[0].contextMax);
    expect(plan.contextMax < options.contextMax).toBe(free === 90);
  });
});
