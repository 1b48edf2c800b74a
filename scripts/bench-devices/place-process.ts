/** One measurement in a process of its own: libraries are loaded once a process, and a driver that crashes ends one row. */
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Answer, Job } from './job.ts';

const program = fileURLToPath(new URL('place-program.ts', import.meta.url));

/**
 * On a machine without a GPU Mesa's software driver stands in, twice: it is shown only when asked for by number. It
 * crashes when it makes a kernel while another runs, so it is kept from that as far as can be.
 */
export const softwareDriver = {
  GGML_VK_VISIBLE_DEVICES: '0,0',
  GGML_VK_DISABLE_ASYNC: '1',
  GGML_VK_MAX_NODES_PER_SUBMIT: '100000',
} as const;

export const runJob = (job: Job, env: Readonly<Record<string, string>>): Promise<Answer> =>
  new Promise((resolve) => {
    const child = fork(program, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let [answer, said]: [Answer | null, string] = [null, ''];
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
    child.on('message', (message) => (answer = message as Answer));
    child.on('close', (code, signal) => {
      const line = said.trim().split('\n').at(-1) ?? '';
      resolve(answer ?? { kind: 'failed', reason: `ended by ${signal ?? `code ${code}`} ${line}`.trim() });
    });
    child.send(job);
  });

/** Where packages of accelerators may lie besides the usual places. */
export const peerPackages = (): readonly string[] =>
  [fileURLToPath(new URL('../../tools/peers/node_modules', import.meta.url))].filter((dir) => existsSync(dir));
