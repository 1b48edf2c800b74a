/** The programs that are measured, each a process of its own on this machine: a fake neuron, a bare proxy, the gateway. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, chat, newAgent } from './questions.ts';

export const endNames = ['direct', 'bare', 'through'] as const;
/** Where a question goes: to the node, or to it through a proxy that does nothing, or through the gateway. */
export type End = (typeof endNames)[number];

export const forEachEnd = <T>(make: (end: End) => T): Record<End, T> => ({
  direct: make('direct'),
  bare: make('bare'),
  through: make('through'),
});

export interface Programs {
  readonly urls: Readonly<Record<End, string>>;
  readonly pids: Readonly<Record<End, number>>;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const startTimeoutMs = 60_000;

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
};

/** As it is deployed: from `dist`, which the type stripper for sources would slow down. */
const build = (): void => {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const { status } = spawnSync(tsc, ['-b', 'packages/gateway'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error('the build failed');
};

const start = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });

const untilAnswers = async (what: string, url: string): Promise<void> => {
  const agent = newAgent();
  const untilMs = performance.now() + startTimeoutMs;
  const answers = (): Promise<boolean> =>
    ask(url, agent, chat(false)).then(
      () => true,
      () => false,
    );
  while (!(await answers())) {
    if (performance.now() > untilMs) throw new Error(`${what} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  agent.destroy();
};

/** @throws Error when the build fails or one does not come up. */
export const startPrograms = async (): Promise<Programs> => {
  build();
  const dir = await mkdtemp(join(tmpdir(), 'bench-gateway-'));
  const [direct, bare, through, metrics] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const ports = { direct, bare, through };
  const urls = forEachEnd((end) => `http://127.0.0.1:${ports[end]}`);
  const config = join(dir, 'cortex.toml');
  await writeFile(
    config,
    `[gateway]\nlisten = "127.0.0.1:${through}"\nmetrics_listen = "127.0.0.1:${metrics}"\n` +
      `[[neurons]]\nname = "fake"\nendpoint = "${urls.direct}"\n`,
  );
  const model = 'm,status=loaded,max_in_flight=10000,context=10000000';
  const typed = ['--conditions=source', '--import', 'tsx'];
  const children: Record<End, ChildProcess> = {
    direct: start([...typed, 'packages/gateway/test/fake-neuron/main.ts', '--port', String(direct), '--model', model]),
    bare: start([...typed, 'packages/gateway/test/bare-proxy.ts', String(bare), urls.direct]),
    through: start(['--import', 'tsx', 'packages/gateway/test/serve.ts', config]),
  };
  const stop = async (): Promise<void> => {
    for (const end of endNames) children[end].kill();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (const end of endNames) await untilAnswers(end, urls[end]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { urls, pids: forEachEnd((end) => children[end].pid ?? 0), stop };
};

/** Microseconds that a process has computed so far, its threads together; null where there is no `/proc`. */
export const cpuUs = async (pid: number): Promise<number | null> => {
  try {
    const threads = await readdir(`/proc/${pid}/task`);
    const texts = await Promise.all(threads.map((id) => readFile(`/proc/${pid}/task/${id}/schedstat`, 'utf8')));
    return texts.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1000, 0);
  } catch {
    return null;
  }
};
