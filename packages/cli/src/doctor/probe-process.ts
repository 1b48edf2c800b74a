/** Asks a second process what ggml finds, so that a driver that crashes is a finding and not the end of the doctor. */
import { execFile } from 'node:child_process';
import type { EngineProbe } from '@cortex/neuron';
import type { ProbeResult } from './engine-findings.ts';

const timeoutMs = 60_000;

/** The hidden command that answers. */
export const probeCommandName = 'probe-engine';

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** @param program the file of this program */
export const probeInProcess = (program: string): Promise<ProbeResult> =>
  new Promise((resolve) => {
    const args = [...process.execArgv, program, probeCommandName];
    execFile(process.execPath, args, { timeout: timeoutMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) {
        try {
          resolve({ kind: 'found', probe: JSON.parse(lastLine(stdout)) as EngineProbe });
        } catch {
          resolve({ kind: 'refused', reason: `an answer that makes no sense: ${lastLine(stdout)}` });
        }
        return;
      }
      if (error.killed === true) resolve({ kind: 'crashed', how: `no answer within ${timeoutMs / 1000} s` });
      else if (error.signal !== null && error.signal !== undefined) resolve({ kind: 'crashed', how: error.signal });
      else resolve({ kind: 'refused', reason: lastLine(stderr) });
    });
  });
