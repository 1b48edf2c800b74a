import { describe, expect, it } from 'vitest';
import { acceleratorOf, cudaUnavailableReason, type AcceleratorFacts } from './accelerator.ts';
import type { CudaRuntime } from './cuda-runtime.ts';
import type { GpuState } from './gpu-monitor.ts';
import { parseGpus } from './nvidia-smi.ts';

const gpus = parseGpus('0, 00000000:01:00.0, NVIDIA L4, 580.1, 23034, 1, 23033, 0, 30, 8.9\n');
const working: GpuState = { kind: 'ok', gpus, cudaVersion: '13.0' };
const failing = (reason: string): GpuState => ({ kind: 'unavailable', reason });
const noProgram: GpuState = { kind: 'unavailable', reason: 'nvidia-smi is not installed', isMissing: true };
const nvidia = { pciId: '0000:01:00.0', vendor: 'nvidia' } as const;
const available = ['@n/linux-x64-cuda@3', '@n/linux-x64-vulkan@3', '@n/linux-x64@3'];
const withCuda = { available, installed: ['@n/linux-x64-cuda', '@n/linux-x64'] };
const complete: CudaRuntime = {
  'libcudart.so.13': { kind: 'loadable', file: '/a' },
  'libcublas.so.13': { kind: 'loadable', file: '/b' },
  'libcublasLt.so.13': { kind: 'loadable', file: '/c' },
};

const facts = (rest: Partial<AcceleratorFacts>): AcceleratorFacts => ({
  packages: { available, installed: ['@n/linux-x64'] },
  gpus: working,
  cards: [nvidia],
  runtime: complete,
  backends: ['cpu'],
  visibleDevices: null,
  ...rest,
});

describe('why CUDA is not used', () => {
  it('is nothing where it is', () => {
    expect(cudaUnavailableReason(facts({ backends: ['cuda'] }))).toBeNull();
  });

  it.each<[string, Partial<AcceleratorFacts>, RegExp]>([
    ['no card', { gpus: noProgram, cards: [] }, /no NVIDIA card is on the PCI bus/],
    ['a card without a driver', { gpus: noProgram }, /card is there \(0000:01:00\.0\); install the NVIDIA driver/],
    [
      'a module older than its libraries',
      { gpus: failing('Failed to initialize NVML: Driver/library version mismatch') },
      /mismatch; .*reboot/,
    ],
    [
      'a module that is not loaded',
      { gpus: failing("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") },
      /modprobe nvidia/,
    ],
    ['a container', { gpus: failing('Failed to initialize NVML: Unknown Error') }, /restart the container/],
    ['no permission', { gpus: failing('Failed to initialize NVML: Insufficient Permissions') }, /group/],
    ['a lost card', { gpus: failing('Unable to determine the device handle: GPU is lost') }, /Xid/],
    ['no usable card', { gpus: failing('the driver found no GPU') }, /dmesg/],
    ['a hung driver', { gpus: failing('nvidia-smi did not answer within 5 s') }, /hangs.*reboot/],
    ['something new', { gpus: failing('NVML: 42') }, /^NVML: 42$/],
    ['an old driver', { gpus: { ...working, cudaVersion: '12.8' } }, /serves CUDA 12\.8.*needs 13.*580/],
    ['no package', {}, /npm install @n\/linux-x64-cuda@3/],
    [
      'no libraries',
      { packages: withCuda, runtime: { ...complete, 'libcublas.so.13': { kind: 'missing' } } },
      /^libcublas\.so\.13 not found; .*libcublas-13-0/,
    ],
    [
      'libraries out of reach',
      {
        packages: withCuda,
        runtime: {
          ...complete,
          'libcudart.so.13': { kind: 'unsearched', file: '/usr/local/cuda/lib64/libcudart.so.13' },
        },
      },
      /LD_LIBRARY_PATH=\/usr\/local\/cuda\/lib64$/,
    ],
    ['cards that are hidden', { packages: withCuda, visibleDevices: '-1' }, /CUDA_VISIBLE_DEVICES="-1" hides/],
    [
      'a card that is not there',
      { packages: withCuda, visibleDevices: ' 1,0' },
      /CUDA_VISIBLE_DEVICES=" 1,0" begins with a GPU that is not here \(there is only 0\)/,
    ],
    ['none of these', { packages: withCuda, visibleDevices: '0,1' }, /did not load/],
    ['none of these, by name', { packages: withCuda, visibleDevices: 'MIG-31ab' }, /did not load/],
  ])('is told with its remedy: %s', (_what, rest, reason) => {
    expect(cudaUnavailableReason(facts(rest))).toMatch(reason);
  });
});

const recommended = (rest: Partial<AcceleratorFacts>): string | null => acceleratorOf(facts(rest)).recommended;

describe('the package to install', () => {
  it('is that of CUDA for a card whose driver works', () => {
    expect(recommended({})).toBe('@n/linux-x64-cuda@3');
  });

  it('is that of Vulkan for other makers and for older NVIDIA drivers', () => {
    expect(recommended({ gpus: noProgram, cards: [{ pciId: '0000:03:00.0', vendor: 'amd' }] })).toBe(
      '@n/linux-x64-vulkan@3',
    );
    expect(recommended({ gpus: { ...working, cudaVersion: '12.8' } })).toBe('@n/linux-x64-vulkan@3');
  });

  it('is none where it would gain nothing: no card, a GPU that is served, a package that is there', () => {
    expect(recommended({ gpus: noProgram, cards: [] })).toBeNull();
    expect(recommended({ backends: ['vulkan'] })).toBeNull();
    expect(recommended({ packages: withCuda })).toBeNull();
    expect(acceleratorOf(facts({ packages: withCuda })).package).toBe('@n/linux-x64-cuda');
  });
});
