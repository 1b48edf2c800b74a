import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { runProgram } from './run-program.ts';

const nPipes = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'PipeWrap').length;

describe('a program run for its output', () => {
  it('gives what it printed and how it ended', async () => {
    expect(await runProgram('sh', ['-c', 'echo out; echo err >&2; exit 3'], 5000)).toEqual({
      kind: 'exited',
      code: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await runProgram('/nowhere/at-all', [], 5000)).toEqual({ kind: 'missing' });
  });

  it('is given up in time, and with it the pipes that its own children hold open', async () => {
    // Those of the test before are gone only now.
    await delay(50);
    const before = nPipes();
    expect(await runProgram('sh', ['-c', 'sleep 3 & sleep 3'], 100)).toEqual({ kind: 'timeout' });
    await delay(50);
    expect(nPipes()).toBe(before);
  });
});
