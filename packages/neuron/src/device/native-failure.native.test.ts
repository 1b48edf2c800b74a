import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

interface Ended {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** In a process of its own: the failed threads can never be ended. */
const runProgram = (program: URL): Promise<Ended> => {
  const env = { ...process.env, GGML_NO_BACKTRACE: '1' };
  const args = ['--conditions=source', '--import', 'tsx', fileURLToPath(program)];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: 50_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
    });
  });
};

it('takes only the device out of service whose thread fails an assert, each time, and the process still ends', async () => {
  const { code, stdout, stderr } = await runProgram(new URL('../../test/fail-natively.ts', import.meta.url));
  expect({ code, stderr }).toMatchObject({ code: 7 });
  const poisoned = {
    running: 'device_poisoned',
    queued: ['device_poisoned', 'device_poisoned'],
    later: ['device_poisoned', 'device_poisoned', 'ok'],
    reason: expect.stringContaining('GGML_ASSERT'),
  };
  const result = JSON.parse(stdout) as { first: { laterMs: number }; second: { laterMs: number } };
  expect(result).toMatchObject({ first: poisoned, second: poisoned, well: { nTokens: 2000, reason: null } });
  expect(Math.max(result.first.laterMs, result.second.laterMs)).toBeLessThan(2000);
}, 60_000);
