/**
 * A thousand streams in three protocols at once through the gateway as it is served: its poller at work, its node
 * another process. None is lost or mixed up, the polls go on meanwhile, and nothing is left behind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FleetSnapshot } from '@cortex/core';
import { afterEach, expect, it } from 'vitest';
import { startGateway, type Gateway } from '../src/main.ts';
import { readGatewayConfig } from '../src/read-config.ts';

const nStreams = 1000;
const nTokens = 10;
/** Fewer than a listener's backlog, which drops what is beyond it. */
const nConnecting = 100;
const stepMs = 30_000;

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const heapMb = (): number => {
  collect();
  return process.memoryUsage().heapUsed / 1e6;
};

const eventually = async (holds: () => Promise<boolean>): Promise<void> => {
  const untilMs = performance.now() + stepMs;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`did not come true within ${stepMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const nOpenFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

interface Control {
  readonly in_flight: number;
  readonly sockets: number;
}

class NeuronProcess {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async control(): Promise<Control> {
    return (await (await fetch(`${this.url}/control`)).json()) as Control;
  }

  async hold(hold: boolean): Promise<void> {
    const body = JSON.stringify({ id: 'm', hold });
    await (await fetch(`${this.url}/control/models`, { method: 'POST', body })).json();
  }
}

const startNeuron = async (): Promise<NeuronProcess> => {
  const main = fileURLToPath(new URL('fake-neuron/main.ts', import.meta.url));
  const model = `m,status=loaded,token_ms=5,tokens=${nTokens},max_in_flight=${2 * nStreams}`;
  const args = ['--import', 'tsx', '--conditions=source', main, '--port', '0', '--model', model];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  closers.push(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  return new NeuronProcess(/http:\S+/.exec(line)?.[0] ?? '');
};

const start = async (neuron: NeuronProcess): Promise<Gateway> => {
  const dir = await mkdtemp(join(tmpdir(), 'gateway-'));
  closers.push(() => rm(dir, { recursive: true }));
  const file = join(dir, 'cortex.toml');
  // A thousand connections at once may take a busy machine longer than the ordinary deadlines.
  const tables = [
    '[gateway]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\nkeepalive_secs = 0.5',
    '[proxy]\nconnect_timeout_secs = 60\n[poller]\ninterval_secs = 0.2\ntimeout_secs = 30',
    `[[neurons]]\nname = "a"\nendpoint = "${neuron.url}"`,
  ];
  await writeFile(file, tables.join('\n'));
  const config = await readGatewayConfig({ file, env: {} });
  const gateway = await startGateway(config, { write: () => undefined });
  closers.push(() => gateway.close(0));
  return gateway;
};

const fleetOf = async (gateway: Gateway): Promise<FleetSnapshot> =>
  (await (await fetch(`${gateway.url}/api/fleet`)).json()) as FleetSnapshot;

const words = Array.from({ length: nTokens }, (_, i) => `w${i} `).join('');
const turn = { model: 'm', stream: true, messages: [{ role: 'user', content: 'hello' }] };

const asked = [
  { path: '/v1/chat/completions', body: turn, piece: /"content":"(w\d+ )"/g, end: 'data: [DONE]\n\n' },
  {
    path: '/v1/messages',
    body: { ...turn, max_tokens: 100 },
    piece: /"text_delta","text":"(w\d+ )"/g,
    end: 'data: {"type":"message_stop"}\n\n',
  },
  {
    path: '/v1/responses',
    body: { model: 'm', stream: true, input: 'hello' },
    piece: /"delta":"(w\d+ )"/g,
    end: '}\n\n',
  },
] as const;

const kindOf = (i: number): (typeof asked)[number] => asked[(i % asked.length) as 0 | 1 | 2];

/** Every fifth client leaves in the middle. */
const leaves = (i: number): boolean => i % 5 === 0;

const readStream = (gateway: Gateway, agent: Agent, i: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const { path, body } = kindOf(i);
    const headers = { 'content-type': 'application/json' };
    const sent = request(gateway.url + path, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (leaves(i) && text.includes('w3 ')) response.destroy();
      });
      response.once('close', () => resolve(text));
    });
    sent.once('error', reject);
    sent.end(JSON.stringify(body));
  });

const wave = async (gateway: Gateway, neuron: NeuronProcess, n: number): Promise<readonly string[]> => {
  const agent = new Agent({ keepAlive: true, maxSockets: n });
  await neuron.hold(true);
  const streams: Promise<string>[] = [];
  try {
    while (streams.length < n) {
      const stream = readStream(gateway, agent, streams.length);
      stream.catch(() => undefined);
      streams.push(stream);
      if (streams.length % nConnecting === 0)
        await eventually(async () => (await neuron.control()).in_flight === streams.length);
    }
    const { nodes } = await fleetOf(gateway);
    expect(nodes.map(({ reach, in_flight }) => ({ reach, in_flight }))).toEqual([{ reach: 'up', in_flight: n }]);
    await neuron.hold(false);
    return await Promise.all(streams);
  } finally {
    agent.destroy();
  }
};

const atRest = async (gateway: Gateway, neuron: NeuronProcess): Promise<void> => {
  await eventually(async () => (await neuron.control()).in_flight === 0);
  await eventually(async () => (await fleetOf(gateway)).nodes[0]?.in_flight === 0);
  // Idle connections are closed after a few seconds; those of the polls and of this test stay.
  await eventually(async () => (await neuron.control()).sockets <= 8);
};

it.skipIf(process.platform !== 'linux')(
  'holds a thousand streams of three protocols over a live fleet and is back to where it was (needs /proc)',
  { timeout: 30 * stepMs },
  async () => {
    const neuron = await startNeuron();
    const gateway = await start(neuron);
    await eventually(async () => (await fleetOf(gateway)).nodes[0]?.reach === 'up');
    await wave(gateway, neuron, 200);
    await atRest(gateway, neuron);
    const before = { files: await nOpenFiles(), heapMb: heapMb() };
    const streams = await wave(gateway, neuron, nStreams);
    for (const [i, text] of streams.entries()) {
      const { piece, end } = kindOf(i);
      expect(text).not.toMatch(/"error":\{|event: error|response\.failed/);
      if (leaves(i)) continue;
      expect([...text.matchAll(piece)].map((match) => match[1]).join('')).toBe(words);
      expect(text.endsWith(end)).toBe(true);
    }
    await atRest(gateway, neuron);
    await eventually(async () => (await nOpenFiles()) <= before.files + 10);
    expect(heapMb() - before.heapMb).toBeLessThan(12);
  },
);
