import { describe, expect, it } from 'vitest';
import { failureReason, normalPciId, parseCudaVersion, parseGpus, queryArguments } from './nvidia-smi.ts';

describe('parseGpus', () => {
  it('reads two unlike cards', () => {
    const csv = [
      '0, 00000000:01:00.0, NVIDIA GeForce RTX 3090, 570.86.10, 24576, 1234, 22922, 37, 61, 8.6',
      '1, 00000000:21:00.0, NVIDIA RTX A4000, 570.86.10, 16376, 2, 16051, 0, 33, 8.6',
      '',
    ].join('\n');
    expect(parseGpus(csv)).toEqual([
      {
        index: 0,
        pciId: '0000:01:00.0',
        name: 'NVIDIA GeForce RTX 3090',
        driverVersion: '570.86.10',
        memoryTotalMb: 24_576,
        memoryUsedMb: 1234,
        memoryFreeMb: 22_922,
        utilizationPct: 37,
        tempC: 61,
        computeCapability: '8.6',
      },
      expect.objectContaining({ index: 1, pciId: '0000:21:00.0', utilizationPct: 0, tempC: 33 }),
    ]);
  });

  it('gives null for what a card does not tell: unified memory, MIG, an old or a lost card', () => {
    const csv = [
      '0, 0000000F:01:00.0, NVIDIA GB10, 580.95.05, [N/A], [N/A], [N/A], 3, 41, 12.1',
      '1, 00000000:02:00.0, NVIDIA H200, 580.95.05, 143771, 10, 143761, [N/A], 30, 9.0',
      '2, 00000000:03:00.0, [GPU is lost], [GPU is lost], [GPU is lost], ERR!, ERR!, ERR!, [Unknown Error], [N/A]',
    ].join('\n');
    const [unified, mig, lost] = parseGpus(csv);
    expect(unified).toMatchObject({ memoryTotalMb: null, memoryUsedMb: null, memoryFreeMb: null, utilizationPct: 3 });
    expect(mig).toMatchObject({ memoryTotalMb: 143_771, utilizationPct: null });
    expect(lost).toMatchObject({ name: 'unknown', driverVersion: null, memoryTotalMb: null, tempC: null });
  });

  it('passes over warnings between the lines', () => {
    const csv =
      'WARNING: infoROM is corrupted at gpu 0000:01:00.0\n0, 0, A, 1, 1, 1, 1, 1, 1, 1\nNo devices were found\n';
    expect(parseGpus(csv).map(({ index }) => index)).toEqual([0]);
  });

  it('reads a cell for each field that is asked for', () => {
    const count = queryArguments.at(0)?.split(',').length ?? 0;
    expect(parseGpus(Array.from({ length: count }, () => '1').join(', '))).toHaveLength(1);
    expect(parseGpus(Array.from({ length: count + 1 }, () => '1').join(', '))).toHaveLength(0);
  });
});

describe('normalPciId', () => {
  it.each([
    ['00000000:01:00.0', '0000:01:00.0'],
    ['0000000F:C1:00.0', '000f:c1:00.0'],
    ['0000:01:00.0', '0000:01:00.0'],
  ])('%s is %s', (id, normal) => {
    expect(normalPciId(id)).toBe(normal);
  });
});

describe('parseCudaVersion', () => {
  it.each([
    ['| NVIDIA-SMI 550.54.14    Driver Version: 550.54.14    CUDA Version: 12.4     |', '12.4'],
    ['| NVIDIA-SMI 590.44  KMD Version: 590.44  CUDA UMD Version: 13.1 |', '13.1'],
    ['CUDA Version        : 13.0', '13.0'],
    ['| NVIDIA-SMI 470.57.02   Driver Version: 470.57.02   CUDA Version: N/A |', null],
    ['', null],
  ])('finds it in %j', (banner, version) => {
    expect(parseCudaVersion(banner)).toBe(version);
  });
});

describe('failureReason', () => {
  it('is the line that says why', () => {
    expect(
      failureReason('\n\nFailed to initialize NVML: Driver/library version mismatch\nNVML library version: 570\n'),
    ).toBe('Failed to initialize NVML: Driver/library version mismatch');
    expect(failureReason(' \n')).toBe('nvidia-smi failed without a word');
  });
});
