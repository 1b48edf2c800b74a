/** What is read of the machine's own files, over files of the same form. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cudaRuntimeProblem, findCudaRuntime, parseLdconfig } from './cuda-runtime.ts';
import { readCard, readPciCards } from './pci-cards.ts';
import type { ProgramResult } from './run-program.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'machine-'));
});
afterEach(() => rm(root, { recursive: true }));

const write = async (file: string, text = ''): Promise<void> => {
  await mkdir(path.dirname(path.join(root, file)), { recursive: true });
  await writeFile(path.join(root, file), text);
};

const add = async (id: string, vendor: string, type: string): Promise<void> => {
  await write(`${id}/vendor`, `${vendor}\n`);
  await write(`${id}/class`, `${type}\n`);
};

const ldconfig = (stdout: string) => async (): Promise<ProgramResult> => ({
  kind: 'exited',
  code: 0,
  stdout,
  stderr: '',
});

describe('cards on the PCI bus', () => {
  it('are the display controllers, with their makers', async () => {
    await add('0000:01:00.0', '0x10de', '0x030000');
    await add('0000:01:00.1', '0x10de', '0x040300');
    await add('0000:03:00.0', '0x1002', '0x038000');
    await add('0000:00:02.0', '0x1af4', '0x030000');
    expect(await readPciCards(root)).toEqual([
      { pciId: '0000:00:02.0', vendor: 'other' },
      { pciId: '0000:01:00.0', vendor: 'nvidia' },
      { pciId: '0000:03:00.0', vendor: 'amd' },
    ]);
    expect(await readPciCards(path.join(root, 'none'))).toEqual([]);
  });

  it('tell load and temperature where their driver does', async () => {
    await write('0000:03:00.0/gpu_busy_percent', '17\n');
    await write('0000:03:00.0/hwmon/hwmon4/temp1_input', '52499\n');
    expect(await readCard('0000:03:00.0', root)).toEqual({ utilizationPct: 17, tempC: 52 });
    await write('0000:04:00.0/gpu_busy_percent', 'unknown\n');
    expect(await readCard('0000:04:00.0', root)).toEqual({ utilizationPct: null, tempC: null });
  });
});

describe("CUDA's runtime libraries", () => {
  it('are read from the loader’s cache', () => {
    const cache = '2 libs found in cache\n\tlibcudart.so.13 (libc6,x86-64) => /usr/lib/x/libcudart.so.13\n';
    expect([...parseLdconfig(cache)]).toEqual([['libcudart.so.13', '/usr/lib/x/libcudart.so.13']]);
  });

  it('are loadable from the cache and LD_LIBRARY_PATH, out of reach elsewhere, or missing', async () => {
    await write('mine/libcublas.so.13');
    await write('usr/local/cuda-13.0/lib64/libcublasLt.so.13');
    const run = ldconfig('\tlibcudart.so.13 (libc6,x86-64) => /usr/lib/x/libcudart.so.13\n');
    const env = { LD_LIBRARY_PATH: `:relative:${root}/mine` };
    const runtime = await findCudaRuntime({ run, env, root });
    expect(runtime).toEqual({
      'libcudart.so.13': { kind: 'loadable', file: '/usr/lib/x/libcudart.so.13' },
      'libcublas.so.13': { kind: 'loadable', file: `${root}/mine/libcublas.so.13` },
      'libcublasLt.so.13': { kind: 'unsearched', file: `${root}/usr/local/cuda-13.0/lib64/libcublasLt.so.13` },
    });
    expect(cudaRuntimeProblem(runtime)).toContain('usr/local/cuda-13.0/lib64');
  });

  it('are all missing where ldconfig is too, and the problem names each', async () => {
    const runtime = await findCudaRuntime({ run: async () => ({ kind: 'missing' }), env: {}, root });
    expect(cudaRuntimeProblem(runtime)).toMatch(/^libcudart\.so\.13, libcublas\.so\.13, libcublasLt\.so\.13 not found/);
  });
});
