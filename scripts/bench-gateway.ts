/**
 * What the gateway costs: the same requests to a fake neuron directly and through the gateway, in turns, in one run.
 * Three processes on one machine: this one, the gateway, the fake neuron. Figures are only good against each other.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

/** Milliseconds of one request after another, to its first byte and to its last. */
interface Latency {
  readonly first: Percentiles;
  readonly last: Percentiles;
}

/** Medians of several rounds with 32 requests at once. */
interface Load {
  readonly requestsPerSec: number;
  /** Of the process that was asked, all its threads; null where there is no `/proc`. */
  readonly cpuUsPerRequest: number | null;
}

export interface GatewayBench {
  /** Directly, through a proxy that does nothing, through the gateway. */
  readonly latency: readonly ({ readonly what: string } & Readonly<Record<End, Latency>>)[];
  readonly load: readonly ({ readonly what: string } & Readonly<Record<End, Load>>)[];
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
  readonly firstMs: number;
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
    let firstMs = 0;
    response.on('data', (piece: Buffer) => {
      if (nBytes === 0) firstMs = performance.now();
      nBytes += piece.length;
      for (let at = piece.indexOf('\n\n'); at >= 0; at = piece.indexOf('\n\n', at + 2)) nEvents += 1;
    });
    response.once('end', () => resolve({ status: response.statusCode ?? 0, nBytes, nEvents, firstMs }));
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

const shortMessages = (stream: boolean): Question => ({
  path: '/v1/messages?beta=true',
  headers: { 'anthropic-version': '2023-06-01' },
  body: JSON.stringify({ model: 'm', max_tokens: 8, stream, messages: [{ role: 'user', content: 'Say hello.' }] }),
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

interface Case {
  readonly what: string;
  readonly direct: Question;
  readonly through: Question;
  readonly n: number;
}

const forEachEnd = <T>(make: (end: End) => T): Record<End, T> => ({
  direct: make('direct'),
  bare: make('bare'),
  through: make('through'),
});

const questionFor = (end: End, { direct, through }: Case): Question => (end === 'through' ? through : direct);

/** Each order of three equally often: what one still does after its answer, such as logging, may slow any of the others. */
const orders: readonly (readonly End[])[] = [
  ['direct', 'bare', 'through'],
  ['through', 'bare', 'direct'],
  ['bare', 'through', 'direct'],
  ['direct', 'through', 'bare'],
  ['through', 'direct', 'bare'],
  ['bare', 'direct', 'through'],
];

/** Turns of one request each, so that whatever else the machine does hits all alike. */
const latency = async (ends: Ends, one: Case): Promise<Record<End, Latency>> => {
  const agents = forEachEnd(() => new Agent({ keepAlive: true }));
  const times = forEachEnd(() => ({ first: [] as number[], last: [] as number[] }));
  for (let i = -one.n / 5; i < one.n; i += 1) {
    for (const end of orders[(i + one.n) % orders.length] ?? endNames) {
      const startedMs = performance.now();
      const { firstMs } = await ask(ends[end], agents[end], questionFor(end, one));
      if (i < 0) continue;
      times[end].last.push(performance.now() - startedMs);
      times[end].first.push(firstMs - startedMs);
    }
  }
  for (const end of endNames) agents[end].destroy();
  return forEachEnd((end) => ({ first: percentiles(times[end].first), last: percentiles(times[end].last) }));
};

/** Microseconds that a process has computed so far; its threads together. */
const cpuUs = async (pid: number): Promise<number | null> => {
  try {
    const threads = await readdir(`/proc/${pid}/task`);
    const texts = await Promise.all(threads.map((id) => readFile(`/proc/${pid}/task/${id}/schedstat`, 'utf8')));
    return texts.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1000, 0);
  } catch {
    return null;
  }
};

const nAtOnce = 32;
const nRounds = 5;
const roundMs = 500;

const loadRound = async (base: string, agent: Agent, question: Question): Promise<number> => {
  const untilMs = performance.now() + roundMs;
  let n = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      await ask(base, agent, question);
      n += 1;
    }
  };
  await Promise.all(Array.from({ length: nAtOnce }, worker));
  return n;
};

/** Rounds by turns; the first of each warms up. */
const load = async (ends: Ends, pids: Readonly<Record<End, number>>, one: Case): Promise<Record<End, Load>> => {
  const agent = new Agent({ keepAlive: true });
  const rounds = forEachEnd(() => ({ perSec: [] as number[], cpu: [] as number[] }));
  for (let round = -1; round < nRounds; round += 1) {
    for (const end of endNames) {
      const before = await cpuUs(pids[end]);
      const n = await loadRound(ends[end], agent, questionFor(end, one));
      const after = await cpuUs(pids[end]);
      if (round < 0) continue;
      rounds[end].perSec.push((n * 1000) / roundMs);
      if (before !== null && after !== null) rounds[end].cpu.push((after - before) / n);
    }
  }
  agent.destroy();
  return forEachEnd((end) => {
    const { perSec, cpu } = rounds[end];
    return {
      requestsPerSec: percentiles(perSec).p50,
      cpuUsPerRequest: cpu.length === 0 ? null : percentiles(cpu).p50,
    };
  });
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

const same = (what: string, question: Question, n: number): Case => ({ what, direct: question, through: question, n });

const casesFor = (): readonly Case[] => {
  return [
    same('chat, whole', chat(false), 900),
    same('chat, stream of 8', chat(true), 600),
    { what: 'messages, whole', direct: chat(false), through: shortMessages(false), n: 900 },
    { what: 'messages, stream of 8', direct: chat(true), through: shortMessages(true), n: 600 },
    same('chat, 80 KB prompt', chat(false, 80_000), 300),
    { what: 'messages, whole, 80 KB', direct: chat(false, 80_000), through: messages(false), n: 300 },
    { what: 'messages, stream of 8, 80 KB', direct: chat(true, 80_000), through: messages(true), n: 300 },
  ];
};

const measure = async (ends: Ends, pids: Readonly<Record<End, number>>): Promise<GatewayBench> => {
  const node = ends.direct;
  const set = (changes: object): Promise<unknown> => control(node, '/models', { id: 'm', ...changes });
  const cases = casesFor();
  const found: GatewayBench['latency'][number][] = [];
  for (const one of cases) found.push({ what: one.what, ...(await latency(ends, one)) });
  const loads: GatewayBench['load'][number][] = [];
  for (const one of cases.filter(({ n }) => n >= 600)) loads.push({ what: one.what, ...(await load(ends, pids, one)) });
  const chunks: GatewayBench['chunksPerSec'][number][] = [];
  for (const nStreams of [1, 50]) {
    await set({ tokens: nStreams === 1 ? 20_000 : 1000 });
    await chunksPerSec(ends.through, nStreams);
    const direct = await chunksPerSec(ends.direct, nStreams);
    chunks.push({ nStreams, direct, through: await chunksPerSec(ends.through, nStreams) });
  }
  await set({ tokens: 100_000, token_ms: 5 });
  const abortMs = { direct: await aborts(ends.direct, node, 50), through: await aborts(ends.through, node, 50) };
  return { latency: found, load: loads, chunksPerSec: chunks, abortMs };
};

const ms = (value: number): string => `${value.toFixed(2).padStart(6)} ms`;
const perSec = (value: number): string => Math.round(value).toLocaleString('en').padStart(9);
const us = (value: number | null): string => `${value === null ? '–' : Math.round(value)} us`.padStart(8);

const latencyLine = ({ what, direct, bare, through }: GatewayBench['latency'][number]): string => {
  const adds = (end: Latency): string =>
    `${ms(end.first.p50 - direct.first.p50)} ${ms(end.last.p50 - direct.last.p50)} ${ms(end.last.p99 - direct.last.p99)}`;
  return `  ${what.padEnd(28)} ${ms(direct.last.p50)}   ${adds(bare)}   ${adds(through)}`;
};

const loadText = (end: Load): string => `${perSec(end.requestsPerSec)} ${us(end.cpuUsPerRequest)}`;

const loadLine = ({ what, direct, bare, through }: GatewayBench['load'][number]): string => {
  return `  ${what.padEnd(28)} ${loadText(direct)} ${loadText(bare)} ${loadText(through)}`;
};

const report = ({ latency: rows, load: loads, chunksPerSec: chunks, abortMs }: GatewayBench): string =>
  [
    'one request after another      direct p50   a bare proxy adds              the gateway adds',
    '                                            first p50  last p50  last p99  first p50  last p50  last p99',
    ...rows.map(latencyLine),
    `${nAtOnce} at once, a second and CPU           direct       a bare proxy        the gateway`,
    ...loads.map(loadLine),
    ...chunks.map(
      ({ nStreams, direct, through }) =>
        `chunks per second, ${String(nStreams).padStart(2)} streams      ${perSec(direct)} →${perSec(through)}`,
    ),
    `client gone to slot free, directly       p50 ${ms(abortMs.direct.p50)}   p99 ${ms(abortMs.direct.p99)}`,
    `client gone to slot free, both hops      p50 ${ms(abortMs.through.p50)}   p99 ${ms(abortMs.through.p99)}`,
  ].join('\n');

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
  const fakeNode = ['--conditions=source', '--import', 'tsx', 'packages/gateway/test/fake-neuron/main.ts'];
  const children: Record<End, ChildProcess> = {
    direct: start([...fakeNode, '--port', String(nodePort), ...model]),
    bare: start(['--import', 'tsx', 'packages/gateway/test/bare-proxy.ts', String(barePort), ends.direct]),
    through: start(['packages/cli/dist/cortex.js', 'serve', '--config', config]),
  };
  try {
    const agent = new Agent();
    for (const end of endNames) {
      await untilAnswers(end, async () => (await ask(ends[end], agent, chat(false))).status === 200);
    }
    const bench = await measure(
      ends,
      forEachEnd((end) => children[end].pid ?? 0),
    );
    console.log(report(bench));
    return bench;
  } finally {
    for (const end of endNames) children[end].kill();
    await rm(dir, { recursive: true, force: true });
  }
};
