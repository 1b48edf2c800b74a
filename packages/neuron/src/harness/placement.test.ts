import { describe, expect, it } from 'vitest';
import { chooseDevices, type RegisteredDevice } from './choose-devices.ts';
import { weightBytes } from './load-options.ts';
import { LoadTimes } from './load-times.ts';
import { placeModel, placeShared } from './place-model.ts';

const device = (index: number, type: string, backend = 'vulkan'): RegisteredDevice => ({
  index,
  description: ` ${type} ${index}`,
  type,
  backend,
  pciId: null,
  memory: () => ({ totalBytes: 2 ** 30 }),
});

describe('the devices served', () => {
  it('are the GPUs where there are any, numbered from 0', () => {
    const served = chooseDevices([device(0, 'cpu', 'cpu'), device(1, 'gpu'), device(2, 'igpu'), device(3, 'gpu')]);
    expect(served.map(({ registryIndex, info }) => [registryIndex, info.index, info.name])).toEqual([
      [1, 0, 'gpu 1'],
      [3, 1, 'gpu 3'],
    ]);
    expect(served[0]?.info.vram_total_mb).toBe(1024);
  });

  it('are those that share the memory, else the CPU, where there is no GPU', () => {
    const [cpu, shared, matrix] = [device(0, 'cpu', 'cpu'), device(1, 'igpu'), device(2, 'accel', 'blas')];
    expect(chooseDevices([cpu, shared, matrix]).map(({ registryIndex }) => registryIndex)).toEqual([1]);
    expect(chooseDevices([cpu, matrix]).map(({ registryIndex }) => registryIndex)).toEqual([0]);
    expect(chooseDevices([matrix])).toEqual([]);
  });
});

describe('the place of a model', () => {
  const rooms = [
    { index: 0, freeBytes: 100, poisonedReason: null },
    { index: 1, freeBytes: 300, poisonedReason: null },
    { index: 2, freeBytes: 900, poisonedReason: 'hung' },
  ];
  const need = { modelId: 'm', bytes: 50, parts: 'weights 50', deviceIndices: null };

  it('is the working device with the most room, or the one allowed', () => {
    expect(placeModel(need, rooms)).toBe(1);
    expect(placeModel({ ...need, deviceIndices: [0] }, rooms)).toBe(0);
  });

  it('is refused with the numbers, or with what is wrong with the devices', () => {
    expect(() => placeModel({ ...need, bytes: 301 }, rooms)).toThrow(/1 MB .* device 1 has 0 MB/);
    expect(() => placeModel({ ...need, deviceIndices: [2] }, rooms)).toThrow('device 2: hung');
  });

  it('is several working devices with the most room, or those named, where they share it', () => {
    const four = [...rooms, { index: 3, freeBytes: 200, poisonedReason: null }];
    const shared = { modelId: 'm', deviceIndices: null, nDevices: 2 };
    expect(placeShared(shared, four)).toEqual([1, 3]);
    expect(placeShared({ ...shared, deviceIndices: [3, 0] }, four)).toEqual([0, 3]);
    expect(() => placeShared({ ...shared, deviceIndices: [0, 2] }, four)).toThrow(/fewer than 2 .* device 2: hung/);
  });

  it('is sought by the size that the weights will have', () => {
    expect(weightBytes(100, 'bfloat16', 'f32')).toBe(200);
    expect(weightBytes(100, 'float32', 'bf16')).toBe(50);
    expect(weightBytes(100, 'float32', 'auto')).toBe(100);
    expect(weightBytes(100, null, null)).toBe(100);
  });
});

describe('the estimate of a load', () => {
  it("comes from this model's last load, else from another's speed, else from its own", () => {
    const times = new LoadTimes();
    expect(times.etaSecs('a', 1000, 100, 0)).toBeNull();
    expect(times.etaSecs('a', 1000, 1000, 0.25)).toBe(3);
    times.record('b', 2000, 10_000);
    expect(times.etaSecs('a', 1000, 1000, 0.25)).toBe(4);
    times.record('a', 1000, 3000);
    expect(times.etaSecs('a', 1000, 1000, 0.25)).toBe(2);
    expect(times.etaSecs('a', 1000, 9000, 0.9)).toBe(0);
  });
});
