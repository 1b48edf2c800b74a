/**
 * What the gateway costs: the same requests to a fake neuron directly and through the gateway, in turns, in one run.
 * Three processes on one machine: this one, the gateway, the fake neuron. Figures are only good against each other.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

const endNames = ['direct', 'bare', 'through'] as const;
type End = (typeof endNames)[number];
type Ends = Readonly<Record<End, string>>;

export interface GatewayBench {
  /** Milliseconds of one request after another: directly, through a proxy that does nothing, through the gateway. */
  readonly latency: readonly ({ readonly what: string } & Readonly<Record<End, Percentiles>>)[];
  readonly requestsPerSec: { readonly direct: number; readonly through: number };
  readonly chunksPerSec: readonly { readonly nStreams: number; readonly direct: number; readonly through: number }[];
  /** Milliseconds from a client's leaving to the node's noticing. */
  readonly abortMs: { readonly direct: Percentiles; readonly through: Percentiles };
}

const root = fileURLToPath(new URL('..', import.meta.url));

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
};

/** As it is deployed: from `dist`, which the type stripper for sources would slow down. */
const build = (): void => {
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-b', 'packages/cli'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the build failed');
};

const start = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });

interface Answer {
  readonly status: number;
  readonly nBytes: number;
  readonly nEvents: number;
}

interface Question {
  readonly path: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const post = (base: string, agent: Agent, question: Question): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(question.body),
      ...question.headers,
    };
    const sent = httpRequest(base + question.path, { method: 'POST', agent, headers }, resolve);
    sent.once('error', reject);
    sent.end(question.body);
  });

const readAll = (response: IncomingMessage): Promise<Answer> =>
  new Promise((resolve, reject) => {
    let nBytes = 0;
    let nEvents = 0;
    response.on('data', (piece: Buffer) => {
      nBytes += piece.length;
      for (let at = piece.indexOf('\n\n'); at >= 0; at = piece.indexOf('\n\n', at + 2)) nEvents += 1;
    });
    response.once('end', () => resolve({ status: response.statusCode ?? 0, nBytes, nEvents }));
    response.once('error', reject);
  });

const ask = async (base: string, agent: Agent, question: Question): Promise<Answer> => {
  const answer = await readAll(await post(base, agent, question));
  if (answer.status !== 200) throw new Error(`${base}${question.path} answered ${answer.status}`);
  return answer;
};

const percentiles = (values: readonly number[]): Percentiles => {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
};

const chat = (stream: boolean, padding = 0): Question => ({
  path: '/v1/chat/completions',
  body: JSON.stringify({
    model: 'm',
    stream,
    messages: [
      { role: 'system', content: 'x'.repeat(padding) },
      { role: 'user', content: 'Say hello.' },
    ],
  }),
});

/** As Claude Code sends it: 64 KB of tools, a long system prompt in blocks. */
const messages = (stream: boolean): Question => ({
  path: '/v1/messages?beta=true',
  headers: { 'anthropic-version': '2023-06-01' },
  body: JSON.stringify({
    model: 'm',
    max_tokens: 8,
    stream,
    system: [{ type: 'text', text: 'y'.repeat(15_000), cache_control: { type: 'ephemeral' } }],
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello.' }] }],
    tools: Array.from({ length: 24 }, (_, i) => ({
      name: `tool_${i}`,
      description: 'z'.repeat(2000),
      input_schema: { type: 'object', properties: { path: { type: 'string', description: 'd'.repeat(400) } } },
    })),
  }),
});

/** Turns of one request each, so that whatever else the machine does hits all alike. */
const latency = async (
  ends: Ends,
  direct: Question,
  through: Question,
  n: number,
): Promise<Record<End, Percentiles>> => {
  const lines = endNames.map((end) => ({
    end,
    agent: new Agent({ keepAlive: true }),
    question: end === 'through' ? through : direct,
    times: [] as number[],
  }));
  for (let i = -n / 5; i < n; i += 1) {
    for (const { end, agent, question, times } of lines) {
      const startedMs = performance.now();
      await ask(ends[end], agent, question);
      if (i >= 0) times.push(performance.now() - startedMs);
    }
  }
  for (const { agent } of lines) agent.destroy();
  const [directTimes, bareTimes, throughTimes] = lines.map(({ times }) => percentiles(times));
  if (directTimes === undefined || bareTimes === undefined || throughTimes === undefined) throw new Error('no lines');
  return { direct: directTimes, bare: bareTimes, through: throughTimes };
};

const requestsPerSec = async (base: string, seconds: number): Promise<number> => {
  const agent = new Agent({ keepAlive: true });
  const untilMs = performance.now() + seconds * 1000;
  let n = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      await ask(base, agent, chat(false));
      n += 1;
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  agent.destroy();
  return n / seconds;
};

const chunksPerSec = async (base: string, nStreams: number): Promise<number> => {
  const agent = new Agent({ keepAlive: true });
  const startedMs = performance.now();
  const answers = await Promise.all(Array.from({ length: nStreams }, () => ask(base, agent, chat(true))));
  const elapsedMs = performance.now() - startedMs;
  agent.destroy();
  return (answers.reduce((sum, answer) => sum + answer.nEvents, 0) / elapsedMs) * 1000;
};

const control = async (node: string, path: string, body?: unknown): Promise<Readonly<Record<string, number>>> => {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  return (await (await fetch(`${node}/control${path}`, init)).json()) as Readonly<Record<string, number>>;
};

const aborts = async (base: string, node: string, n: number): Promise<Percentiles> => {
  const agent = new Agent({ keepAlive: true });
  const times: number[] = [];
  for (let i = 0; i < n; i += 1) {
    const response = await post(base, agent, chat(true));
    await once(response, 'data');
    const leftMs = performance.timeOrigin + performance.now();
    response.destroy();
    let state = await control(node, '');
    while ((state['in_flight'] ?? 0) > 0) state = await control(node, '');
    times.push((state['last_abort_epoch_ms'] ?? 0) - leftMs);
  }
  agent.destroy();
  return percentiles(times);
};

const untilAnswers = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  const untilMs = performance.now() + 60_000;
  while (performance.now() < untilMs) {
    if (await holds().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what} did not start`);
};

const measure = async (ends: Ends): Promise<GatewayBench> => {
  const node = ends.direct;
  const set = (changes: object): Promise<unknown> => control(node, '/models', { id: 'm', ...changes });
  const speaksMessages = (await fetch(`${ends.through}/v1/messages`, { method: 'POST' })).status !== 404;
  const cases: { what: string; direct: Question; through: Question; n: number }[] = [
    { what: 'chat, whole', direct: chat(false), through: chat(false), n: 1500 },
    { what: 'chat, stream of 8', direct: chat(true), through: chat(true), n: 1000 },
    { what: 'chat, 80 KB prompt', direct: chat(false, 80_000), through: chat(false, 80_000), n: 500 },
  ];
  if (speaksMessages) {
    const direct = chat(false, 80_000);
    const streamed = chat(true, 80_000);
    cases.push({ what: 'messages, whole, 80 KB', direct, through: messages(false), n: 500 });
    cases.push({ what: 'messages, stream of 8, 80 KB', direct: streamed, through: messages(true), n: 500 });
  }
  const found: GatewayBench['latency'][number][] = [];
  for (const one of cases) found.push({ what: one.what, ...(await latency(ends, one.direct, one.through, one.n)) });
  const rates = { direct: await requestsPerSec(ends.direct, 3), through: await requestsPerSec(ends.through, 3) };
  const chunks: GatewayBench['chunksPerSec'][number][] = [];
  for (const nStreams of [1, 50]) {
    await set({ tokens: nStreams === 1 ? 20_000 : 1000 });
    await chunksPerSec(ends.through, nStreams);
    const direct = await chunksPerSec(ends.direct, nStreams);
    chunks.push({ nStreams, direct, through: await chunksPerSec(ends.through, nStreams) });
  }
  await set({ tokens: 100_000, token_ms: 5 });
  const abortMs = { direct: await aborts(ends.direct, node, 50), through: await aborts(ends.through, node, 50) };
  return { latency: found, requestsPerSec: rates, chunksPerSec: chunks, abortMs };
};

const ms = (value: number): string => `${value.toFixed(2).padStart(6)} ms`;
const perSec = (value: number): string => Math.round(value).toLocaleString('en').padStart(9);

const report = (bench: GatewayBench): string => {
  const rows = bench.latency.map(({ what, direct, bare, through }) => {
    const added = (line: Percentiles): string => `p50 +${ms(line.p50 - direct.p50)}  p99 +${ms(line.p99 - direct.p99)}`;
    return `  ${what.padEnd(28)} ${ms(direct.p50)}   ${added(bare)}   ${added(through)}`;
  });
  const { requestsPerSec: rates, abortMs } = bench;
  return [
    'latency, one request after another     direct   a bare proxy adds             the gateway adds',
    ...rows,
    `requests per second, 32 at once    ${perSec(rates.direct)} →${perSec(rates.through)}`,
    ...bench.chunksPerSec.map(
      ({ nStreams, direct, through }) =>
        `chunks per second, ${String(nStreams).padStart(2)} streams      ${perSec(direct)} →${perSec(through)}`,
    ),
    `client gone to slot free, directly       p50 ${ms(abortMs.direct.p50)}   p99 ${ms(abortMs.direct.p99)}`,
    `client gone to slot free, both hops      p50 ${ms(abortMs.through.p50)}   p99 ${ms(abortMs.through.p99)}`,
  ].join('\n');
};

const local = (port: number): string => `http://127.0.0.1:${port}`;

/** Prints the figures and returns them. */
export const run = async (): Promise<GatewayBench> => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-gateway-'));
  const [nodePort, barePort, port, metricsPort] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const ends: Ends = { direct: local(nodePort), bare: local(barePort), through: local(port) };
  const config = join(dir, 'cortex.toml');
  await writeFile(
    config,
    `[gateway]\nlisten = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:${metricsPort}"\nlog_level = "info"\n` +
      `[[neurons]]\nname = "fake"\nendpoint = "${ends.direct}"\n`,
  );
  const model = ['--model', 'm,status=loaded,max_in_flight=10000,context=10000000'];
  build();
  const children = [
    start([
      '--conditions=source',
      '--import',
      'tsx',
      'packages/gateway/test/fake-neuron/main.ts',
      '--port',
      String(nodePort),
      ...model,
    ]),
    start(['--import', 'tsx', 'packages/gateway/test/bare-proxy.ts', String(barePort), ends.direct]),
    start(['packages/cli/dist/cortex.js', 'serve', '--config', config]),
  ];
  try {
    const agent = new Agent();
    for (const end of endNames) {
      await untilAnswers(end, async () => (await ask(ends[end], agent, chat(false))).status === 200);
    }
    const bench = await measure(ends);
    console.log(report(bench));
    return bench;
  } finally {
    for (const child of children) child.kill();
    await rm(dir, { recursive: true, force: true });
  }
};
