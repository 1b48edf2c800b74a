import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { GpuMonitor } from './gpu-monitor.ts';
import { runProgram, type ProgramResult, type RunProgram } from './run-program.ts';

const csv = '0, 00000000:01:00.0, NVIDIA L4, 570.86.10, 23034, 500, 22534, 12, 50, 8.9\n';
const exited = (stdout: string, code = 0, stderr = ''): ProgramResult => ({ kind: 'exited', code, stdout, stderr });

/** An nvidia-smi that answers as told and counts its calls; the clock is the test's. */
const monitored = (query: () => ProgramResult | Promise<ProgramResult>) => {
  const clock = { ms: 0 };
  const calls: string[] = [];
  const run: RunProgram = async (_program, args) => {
    calls.push(args.length === 0 ? 'banner' : 'query');
    return args.length === 0 ? exited('| Driver Version: 570.86.10  CUDA Version: 12.8 |') : query();
  };
  return { clock, calls, monitor: new GpuMonitor({ run, now: () => clock.ms }) };
};

describe('GpuMonitor', () => {
  it('reads the cards, and the CUDA version once', async () => {
    const { monitor, calls } = monitored(() => exited(csv));
    expect(await monitor.refresh()).toMatchObject({ kind: 'ok', cudaVersion: '12.8', gpus: [{ name: 'NVIDIA L4' }] });
    await monitor.refresh();
    expect(calls).toEqual(['query', 'banner', 'query']);
  });

  it.each([
    [
      'a broken driver',
      exited('', 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
      /couldn't communicate/,
    ],
    [
      'complaints on standard output',
      exited('Failed to initialize NVML: Driver/library version mismatch', 18),
      /version mismatch/,
    ],
    ['no cards', exited('No devices were found\n'), /found no GPU/],
    ['no program', { kind: 'missing' } as const, /not installed/],
    ['a hung driver', { kind: 'timeout' } as const, /did not answer within 5 s/],
  ])('says why there is none: %s', async (_what, result, reason) => {
    const { monitor } = monitored(() => result);
    const state = await monitor.refresh();
    expect(state.kind === 'unavailable' ? state.reason : '').toMatch(reason);
    expect(state.kind === 'unavailable' && state.isMissing === true).toBe(result.kind === 'missing');
  });

  it('does without what an older driver cannot be asked', async () => {
    const asked: string[] = [];
    const run: RunProgram = async (_program, [query = '']) => {
      asked.push(query);
      if (query.includes('compute_cap')) return exited('Field "compute_cap" is not a valid field to query.\n', 2);
      return exited(
        query === '' ? 'CUDA Version: 11.4' : '0, 00000000:01:00.0, Tesla K80, 470.1, 11441, 0, 11441, 0, 40\n',
      );
    };
    const monitor = new GpuMonitor({ run });
    const state = {
      kind: 'ok',
      cudaVersion: '11.4',
      gpus: [{ name: 'Tesla K80', tempC: 40, computeCapability: null }],
    };
    expect(await monitor.refresh()).toMatchObject(state);
    expect(await monitor.refresh()).toMatchObject(state);
    expect(asked.filter((query) => query.includes('compute_cap'))).toHaveLength(1);
  });

  it('answers with the latest at once, and reads anew when that is old', async () => {
    const { monitor, clock, calls } = monitored(() => exited(csv));
    await monitor.refresh();
    clock.ms = 1000;
    expect(monitor.latest().kind).toBe('ok');
    expect(calls).toHaveLength(2);
    clock.ms = 3000;
    expect(monitor.latest().kind).toBe('ok');
    expect(calls).toHaveLength(3);
  });

  it('never asks twice at once, and drops readings from before the driver hung', async () => {
    let hung = false;
    const { monitor, clock, calls } = monitored(() => (hung ? new Promise<ProgramResult>(() => {}) : exited(csv)));
    await monitor.refresh();
    hung = true;
    for (clock.ms = 5000; clock.ms < 25_000; clock.ms += 5000) expect(monitor.latest().kind).toBe('ok');
    clock.ms = 40_000;
    expect(monitor.latest()).toEqual({ kind: 'unavailable', reason: 'nvidia-smi no longer answers' });
    expect(calls).toHaveLength(3);
  });

  it('asks a hung driver ever more seldom', async () => {
    const { monitor, clock, calls } = monitored(() => ({ kind: 'timeout' }));
    await monitor.refresh();
    for (; clock.ms < 3_600_000; clock.ms += 5000) {
      monitor.latest();
      await Promise.resolve();
    }
    expect(calls.length).toBeLessThan(12);
  });

  it('does not look again and again for a program that is not there', async () => {
    const { monitor, clock, calls } = monitored(() => ({ kind: 'missing' }));
    await monitor.refresh();
    for (clock.ms = 0; clock.ms < 60_000; clock.ms += 10_000) monitor.latest();
    expect(calls).toHaveLength(1);
  });
});

describe('runProgram', () => {
  it('gives output and exit code', async () => {
    const script = 'console.log("out"); console.error("err"); process.exit(3)';
    const result = await runProgram(process.execPath, ['-e', script], 10_000);
    expect(result).toEqual({ kind: 'exited', code: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  it('tells a missing program from one that takes too long', async () => {
    expect(await runProgram('no-such-program-here', [], 1000)).toEqual({ kind: 'missing' });
    // It is there, but no program.
    expect(await runProgram(fileURLToPath(import.meta.url), [], 1000)).toMatchObject({
      kind: 'exited',
      code: -1,
      stderr: expect.stringContaining('EACCES'),
    });
    expect(await runProgram(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], 100)).toEqual({ kind: 'timeout' });
  });
});
