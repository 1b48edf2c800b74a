/**
 * What the gateway costs: the same requests to a fake neuron directly, through a bare proxy and through the gateway, in
 * turns, in one run. Figures are only good against each other. Each measurement has its time, however busy the machine.
 */
import { once } from 'node:events';
import { routingCosts } from '../packages/gateway/test/fleet/routing-bench.ts';
import { cpuUs, endNames, forEachEnd, startPrograms, type End, type Programs } from './bench-gateway/programs.ts';
import { ask, chat, largeCases, nEventsIn, newAgent, post, smallCases } from './bench-gateway/questions.ts';
import type { Case, Question } from './bench-gateway/questions.ts';
import { reportText, type GatewayBench, type Latency, type Load, type Percentiles } from './bench-gateway/report.ts';

const latencyMs = 4000;
const warmUpMs = 500;
const loadRounds = 3;
const loadRoundMs = 400;
const streamsMs = 1500;
const abortsMs = 5000;

const nAtOnce = 32;

const percentiles = (values: readonly number[]): Percentiles => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
};

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
const latency = async ({ urls }: Programs, one: Case): Promise<Record<End, Latency>> => {
  const agent = newAgent();
  const times = forEachEnd(() => ({ first: [] as number[], last: [] as number[] }));
  const beganMs = performance.now();
  for (let turn = 0; performance.now() - beganMs < warmUpMs + latencyMs; turn += 1) {
    const isWarm = performance.now() - beganMs >= warmUpMs;
    for (const end of orders[turn % orders.length] ?? endNames) {
      const askedMs = performance.now();
      const { firstMs } = await ask(urls[end], agent, questionFor(end, one));
      if (!isWarm) continue;
      times[end].last.push(performance.now() - askedMs);
      times[end].first.push(firstMs - askedMs);
    }
  }
  agent.destroy();
  return forEachEnd((end) => ({ first: percentiles(times[end].first), last: percentiles(times[end].last) }));
};

const loadRound = async (base: string, question: Question): Promise<number> => {
  const agent = newAgent();
  const untilMs = performance.now() + loadRoundMs;
  let n = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      await ask(base, agent, question);
      n += 1;
    }
  };
  await Promise.all(Array.from({ length: nAtOnce }, worker));
  agent.destroy();
  return n;
};

/** Rounds by turns; the first of each warms up. */
const load = async ({ urls, pids }: Programs, one: Case): Promise<Record<End, Load>> => {
  const rounds = forEachEnd(() => ({ perSec: [] as number[], cpu: [] as number[] }));
  for (let round = -1; round < loadRounds; round += 1) {
    for (const end of endNames) {
      const before = await cpuUs(pids[end]);
      const beganMs = performance.now();
      const n = await loadRound(urls[end], questionFor(end, one));
      const perSec = (n * 1000) / (performance.now() - beganMs);
      const after = await cpuUs(pids[end]);
      if (round < 0) continue;
      rounds[end].perSec.push(perSec);
      if (before !== null && after !== null) rounds[end].cpu.push((after - before) / n);
    }
  }
  return forEachEnd((end) => {
    const { perSec, cpu } = rounds[end];
    return {
      requestsPerSec: percentiles(perSec).p50,
      cpuUsPerRequest: cpu.length === 0 ? null : percentiles(cpu).p50,
    };
  });
};

/** Events a second over so many streams, each followed by another until the time is over. */
const chunksPerSec = async (base: string, nStreams: number): Promise<number> => {
  const agent = newAgent();
  const beganMs = performance.now();
  let nEvents = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - beganMs < streamsMs) {
      const response = await post(base, agent, chat(true));
      for await (const piece of response) {
        nEvents += nEventsIn(piece as Buffer);
        if (performance.now() - beganMs >= streamsMs) break;
      }
    }
  };
  await Promise.all(Array.from({ length: nStreams }, worker));
  const elapsedMs = performance.now() - beganMs;
  agent.destroy();
  return (nEvents * 1000) / elapsedMs;
};

const control = async (node: string, path: string, body?: object): Promise<Readonly<Record<string, number>>> => {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  return (await (await fetch(`${node}/control${path}`, init)).json()) as Readonly<Record<string, number>>;
};

/** Milliseconds from a client's leaving its stream to the node's noticing. */
const aborts = async (base: string, node: string): Promise<Percentiles> => {
  const agent = newAgent();
  const times: number[] = [];
  const untilMs = performance.now() + abortsMs;
  while (performance.now() < untilMs) {
    const { aborted: before = 0 } = await control(node, '');
    const response = await post(base, agent, chat(true));
    await once(response, 'data');
    const leftMs = performance.timeOrigin + performance.now();
    response.destroy();
    let state = await control(node, '');
    while (state['aborted'] === before && performance.now() < untilMs) state = await control(node, '');
    if (state['aborted'] !== before) times.push((state['last_abort_epoch_ms'] ?? 0) - leftMs);
  }
  agent.destroy();
  return percentiles(times);
};

const measure = async (programs: Programs): Promise<GatewayBench> => {
  const { direct, through } = programs.urls;
  const set = (changes: object): Promise<unknown> => control(direct, '/models', { id: 'm', ...changes });
  const latencies: GatewayBench['latency'][number][] = [];
  for (const one of [...smallCases(), ...largeCases()]) {
    latencies.push({ what: one.what, ...(await latency(programs, one)) });
    // It remembers every request.
    await control(direct, '/reset', {});
  }
  const loads: GatewayBench['load'][number][] = [];
  for (const one of smallCases()) loads.push({ what: one.what, ...(await load(programs, one)) });
  const chunks: GatewayBench['chunksPerSec'][number][] = [];
  for (const nStreams of [1, 50]) {
    await set({ tokens: 5000 });
    chunks.push({
      nStreams,
      direct: await chunksPerSec(direct, nStreams),
      through: await chunksPerSec(through, nStreams),
    });
  }
  await set({ tokens: 100_000, token_ms: 5 });
  const abortMs = { direct: await aborts(direct, direct), through: await aborts(through, direct) };
  return { latency: latencies, nAtOnce, load: loads, chunksPerSec: chunks, abortMs, routing: routingCosts() };
};

/** Prints the figures and returns them. @throws Error when a program does not start or answers wrongly. */
export const run = async (): Promise<GatewayBench> => {
  const programs = await startPrograms();
  try {
    const bench = await measure(programs);
    console.log(reportText(bench));
    return bench;
  } finally {
    await programs.stop();
  }
};
