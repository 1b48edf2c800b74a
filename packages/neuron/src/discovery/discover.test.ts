import { describe, expect, it } from 'vitest';
import { discoverySchema, type DeviceInfo } from '@cortex/core';
import { discoveryOf, type EngineFacts, type SystemFacts } from './discover.ts';
import type { CudaRuntime } from './cuda-runtime.ts';
import type { GpuState } from './gpu-monitor.ts';
import { prettyName, readHost } from './host.ts';
import { matchGpus, withCardReadings, withGpuReadings } from './match-gpus.ts';
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
const packages = {
  available: ['@n/linux-x64-cuda@3', '@n/linux-x64-vulkan@3', '@n/linux-x64@3'],
  installed: ['@n/linux-x64'],
};
const system: Omit<SystemFacts, 'gpus'> = {
  host: { hostname: 'box', os: 'Debian', kernel: '6.1' },
  cards: [],
  runtime: null,
  visibleDevices: null,
};
const engine = (devices: readonly DeviceInfo[]): EngineFacts => ({
  harness: 'ggml',
  devices,
  health: [{ index: 0, vram_used_mb: 10, vram_free_mb: 990, poisoned: false }],
  packages,
  promptTokensMax: null,
});
const driver: GpuState = { kind: 'ok', gpus, cudaVersion: '13.0' };

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

  it("gives a device whose address the driver does not have nobody else's numbers", () => {
    expect(tempOf([device(0, 'NVIDIA L4', { pci_id: '0000:77:00.0' })])).toEqual([undefined]);
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

const readRadeon = async (pciId: string) =>
  pciId === '0000:0a:00.0' ? { utilizationPct: 0, tempC: 41 } : { utilizationPct: null, tempC: null };

describe('withCardReadings', () => {
  const health = [0, 1, 2].map((index) => ({ index, vram_used_mb: 1, vram_free_mb: 2, poisoned: false }));

  it('asks for cards by their address, and leaves out what they do not tell', async () => {
    const devices = [device(0, 'Radeon', { pci_id: '0000:0A:00.0' }), device(1, 'Arc', { pci_id: '0000:0b:00.0' })];
    expect(await withCardReadings(health, devices, readRadeon)).toEqual([
      { ...health[0], utilization_pct: 0, temp_c: 41 },
      health[1],
      health[2],
    ]);
  });
});

describe('discoveryOf', () => {
  it('is the wire shape, with what the driver knows filled in', () => {
    const discovery = discoveryOf({ ...system, gpus: driver }, engine([device(0, 'NVIDIA L4')]));
    expect(discoverySchema.parse(discovery)).toMatchObject({
      ...system.host,
      cuda_version: '13.0',
      driver_version: '570.1',
      cuda_unavailable_reason: null,
      engine: { package: '@n/linux-x64', recommended: null },
      devices: [{ compute_capability: '8.9', pci_id: '0000:02:00.0', driver_version: '570.1', vram_free_mb: 990 }],
      harnesses: ['ggml'],
    });
  });

  it('names the libraries of CUDA with their files, and null for those that the loader would not find', () => {
    const runtime: CudaRuntime = {
      'libcudart.so.13': { kind: 'loadable', file: '/usr/lib/libcudart.so.13' },
      'libcublas.so.13': { kind: 'unsearched', file: '/opt/libcublas.so.13' },
      'libcublasLt.so.13': { kind: 'missing' },
    };
    const { cuda_libraries: libraries } = discoveryOf({ ...system, gpus: driver, runtime }, engine([]));
    expect(libraries).toEqual({
      'libcudart.so.13': '/usr/lib/libcudart.so.13',
      'libcublas.so.13': null,
      'libcublasLt.so.13': null,
    });
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
