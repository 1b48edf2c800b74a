import { describe, expect, it } from 'vitest';
import { discoverySchema, type DeviceInfo } from '@cortex/core';
import { discoveryOf, type EngineFacts } from './discover.ts';
import type { GpuState } from './gpu-monitor.ts';
import { prettyName, readHost } from './host.ts';
import { matchGpus, withGpuReadings } from './match-gpus.ts';
import { parseGpus } from './nvidia-smi.ts';

const gpus = parseGpus(
  [
    '0, 00000000:01:00.0, NVIDIA RTX A4000, 570.1, 16376, 2, 16051, 5, 33, 8.6',
    '1, 00000000:02:00.0, NVIDIA L4, 570.1, 23034, 1, 23033, 60, 55, 8.9',
    '2, 00000000:03:00.0, NVIDIA L4, 570.1, 23034, 1, 23033, 70, 66, 8.9',
  ].join('\n'),
);
const device = (index: number, name: string, rest: Partial<DeviceInfo> = {}): DeviceInfo => ({
  index,
  name,
  backend: 'cuda',
  vram_total_mb: 1000,
  ...rest,
});
const host = { hostname: 'box', os: 'Debian', kernel: '6.1' };
const engine = (devices: readonly DeviceInfo[]): EngineFacts => ({ harness: 'ggml', devices, promptTokensMax: null });
const driver: GpuState = { kind: 'ok', gpus, cudaVersion: '12.8' };

const tempOf = (devices: readonly DeviceInfo[]) =>
  devices.map(({ index }) => matchGpus(devices, gpus).get(index)?.tempC);

describe('matchGpus', () => {
  it('goes by name and order, however the engine counts', () => {
    expect(tempOf([device(0, 'NVIDIA L4'), device(1, 'NVIDIA L4'), device(2, 'NVIDIA RTX A4000')])).toEqual([
      55, 66, 33,
    ]);
  });

  it('goes by PCI id where the engine tells it', () => {
    const devices = [device(0, 'NVIDIA L4'), device(1, 'NVIDIA L4', { pci_id: '0000:02:00.0' })];
    expect(tempOf(devices)).toEqual([66, 55]);
  });

  it('matches nothing to a CPU or to an unknown card', () => {
    expect(tempOf([device(0, 'AMD EPYC', { backend: 'cpu' }), device(1, 'Radeon')])).toEqual([undefined, undefined]);
  });
});

describe('withGpuReadings', () => {
  it('adds load and temperature, and leaves the memory as the engine counts it', () => {
    const health = [{ index: 0, vram_used_mb: 10, vram_free_mb: 20, poisoned: false }];
    expect(withGpuReadings(health, matchGpus([device(0, 'NVIDIA L4')], gpus))).toEqual([
      { index: 0, vram_used_mb: 10, vram_free_mb: 20, poisoned: false, utilization_pct: 60, temp_c: 55 },
    ]);
  });
});

describe('discoveryOf', () => {
  it('is the wire shape, with what the driver knows filled in', () => {
    const discovery = discoveryOf(host, driver, engine([device(0, 'NVIDIA L4')]));
    expect(discoverySchema.parse(discovery)).toMatchObject({
      ...host,
      cuda_version: '12.8',
      driver_version: '570.1',
      cuda_unavailable_reason: null,
      devices: [{ compute_capability: '8.9' }],
      harnesses: ['ggml'],
    });
  });

  it('says why CUDA is not used: no driver, or a backend that is not installed', () => {
    const cpu = engine([device(0, 'EPYC', { backend: 'cpu' })]);
    const broken: GpuState = { kind: 'unavailable', reason: 'driver mismatch' };
    expect(discoveryOf(host, broken, cpu).cuda_unavailable_reason).toBe('driver mismatch');
    expect(discoveryOf(host, driver, cpu).cuda_unavailable_reason).toMatch(/without its CUDA backend/);
  });
});

describe('the host', () => {
  it('has its distribution from os-release, in any quoting', () => {
    expect(prettyName('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')).toBe('Debian GNU/Linux 13 (trixie)');
    expect(prettyName("PRETTY_NAME='Alpine'\n")).toBe('Alpine');
    expect(prettyName('ID=arch')).toBeNull();
  });

  it('has a name also without such a file', async () => {
    expect((await readHost('/no/such/file')).os).not.toBe('');
  });
});
