/** Every row of docs/faults.md, for every protocol, against fake neurons that really fail. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import type { FakeModel, Fault } from './fake-neuron/settings.ts';
import { listenDeaf } from './deaf-port.ts';
import { ask, protocols, type Outcome } from './protocols.ts';
import { eventually, startEdge, type Edge } from './start-edge.ts';

const deadlineMs = 1000;
/** Only where a deadline is the point: on a busy machine, anything may take this long. */
const tight = `
[proxy]
first_token_timeout_secs = ${deadlineMs / 1000}
token_gap_timeout_secs = ${deadlineMs / 1000}
answer_timeout_secs = ${deadlineMs / 1000}
`;

interface Setting {
  readonly config?: string;
  readonly fault?: Fault;
  readonly model?: Partial<FakeModel>;
  readonly tight?: true;
  /** Before the request. @returns what is to be undone after it */
  readonly prepare?: (edge: Edge, node: FakeNeuron) => Promise<void | (() => Promise<void>)>;
  /** While it runs. */
  readonly meanwhile?: (node: FakeNeuron) => Promise<void>;
}

const killAndRestart = async (edge: Edge, node: FakeNeuron): Promise<void> => {
  // The gateway has open connections to it by then.
  await ask(edge.url, 'chat', 'whole');
  await node.stop();
  await node.start();
};

const settings: Readonly<Record<string, Setting>> = {
  'the node refuses connections': { prepare: (_edge, node) => node.stop() },
  'the node accepts no connection': {
    config: '[proxy]\nconnect_timeout_secs = 0.5\n',
    prepare: async (_edge, node) => {
      await node.stop();
      return listenDeaf(Number(new URL(node.url).port));
    },
  },
  'connection reset before the headers': { fault: { kind: 'reset_before_headers' } },
  'connection reset in the middle of a body': { fault: { kind: 'reset_mid_body' } },
  'connection reset before the first token': { fault: { kind: 'reset_mid_stream', after_tokens: 0 } },
  'connection reset after three tokens': { fault: { kind: 'reset_mid_stream', after_tokens: 3 } },
  'stream ends early, without `[DONE]`': { fault: { kind: 'end_without_done', after_tokens: 3 } },
  '`[DONE]` before any answer': { fault: { kind: 'done_early', after_tokens: 0 } },
  'silence before the first token': { fault: { kind: 'stall', after_tokens: 0 }, tight: true },
  'silence after three tokens': { fault: { kind: 'stall', after_tokens: 3 }, tight: true },
  'headers slower than the deadline': { fault: { kind: 'slow_headers', ms: deadlineMs * 2 }, tight: true },
  'slow headers within the deadline': { fault: { kind: 'slow_headers', ms: deadlineMs / 5 }, tight: true },
  'a prefill longer than the deadline, with keepalive comments': {
    model: { first_token_ms: deadlineMs * 1.6, keepalive_ms: deadlineMs / 5 },
    tight: true,
  },
  'status 500': { fault: { kind: 'status', status: 500, code: 'internal_error', message: 'a bug' } },
  'status 503 with `Retry-After: 7`': { fault: { kind: 'status', status: 503, code: 'overloaded', retry_after: 7 } },
  'status 429 with `Retry-After: 7`': { fault: { kind: 'status', status: 429, retry_after: 7 } },
  'status 400': { fault: { kind: 'status', status: 400, code: 'invalid_request', message: 'no' } },
  'an answer that is not HTTP': { fault: { kind: 'not_http' } },
  'status 200 with an error for its body': { fault: { kind: 'error_body', code: 'overloaded' } },
  'a whole answer where a stream was asked for': { fault: { kind: 'never_streams' } },
  'garbage before the first token': { fault: { kind: 'garbage_sse', after_tokens: 0 } },
  'garbage after three tokens': { fault: { kind: 'garbage_sse', after_tokens: 3 } },
  'a poisoned device before the first token': {
    fault: { kind: 'error_event', after_tokens: 0, code: 'device_poisoned' },
  },
  'a poisoned device after three tokens': { fault: { kind: 'error_event', after_tokens: 3, code: 'device_poisoned' } },
  'the node is killed after three tokens': {
    // Hangs at the third token, or in the middle of the body, until the kill.
    fault: { kind: 'stall', after_tokens: 3 },
    meanwhile: async (node) => {
      await eventually(() => node.nInFlight > 0);
      await new Promise((resolve) => setTimeout(resolve, deadlineMs / 4));
      await node.stop();
    },
  },
  'the node was killed and started again': { prepare: killAndRestart },
};

interface Row {
  readonly fault: string;
  readonly asked: 'stream' | 'whole';
  readonly cells: readonly [string, string];
}

const rows = readFileSync(new URL('../../../docs/faults.md', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter((cells) => cells[2] === 'stream' || cells[2] === 'whole')
  .map((cells): Row => ({
    fault: cells[1] ?? '',
    asked: cells[2] === 'stream' ? 'stream' : 'whole',
    cells: [cells[3] ?? '', cells[4] ?? ''],
  }));

/** An outcome in the words of the table. */
const inWords = (outcome: Outcome): string => {
  if (outcome.kind === 'answered') return outcome.complete ? 'answered' : 'answered, but cut short';
  if (outcome.kind === 'in_stream') return `in stream ${outcome.code}`;
  const retry = outcome.retryAfter === null || outcome.retryAfter === '1' ? '' : `, retry after ${outcome.retryAfter}`;
  return `${outcome.status} ${outcome.code}${retry}`;
};

const run = async (row: Row, protocol: (typeof protocols)[number], nNodes: number): Promise<string> => {
  const setting = settings[row.fault];
  if (setting === undefined) throw new Error(`docs/faults.md names a fault that nobody makes: ${row.fault}`);
  const config = setting.tight === true ? tight : (setting.config ?? '');
  const edge = await startEdge({ config, nNodes, model: setting.model ?? {} });
  let undo: void | (() => Promise<void>) = undefined;
  try {
    const { node } = edge;
    undo = await setting.prepare?.(edge, node);
    if (setting.fault !== undefined) node.faults.push(setting.fault);
    const [outcome] = await Promise.all([ask(edge.url, protocol, row.asked), setting.meanwhile?.(node)]);
    await eventually(() => edge.fleet.nLeased === 0);
    return inWords(outcome);
  } finally {
    await undo?.();
    await edge.close();
  }
};

describe.each(protocols)('faults of a node, over %s', (protocol) => {
  // A machine that stands still for a second breaks any deadline; what is wrong is so each time.
  it.concurrent.each(rows)('$fault ($asked)', { retry: 2 }, async (row) => {
    expect(await run(row, protocol, 2)).toBe(row.cells[0]);
    expect(await run(row, protocol, 1)).toBe(row.cells[1]);
  });
});

it('docs/faults.md has a row for every fault that is made here', () => {
  expect([...new Set(rows.map((row) => row.fault))].toSorted()).toEqual(Object.keys(settings).toSorted());
});

/** What can befall a stream and a whole answer alike. */
const both: readonly string[] = [
  'the node refuses connections',
  'the node accepts no connection',
  'connection reset before the headers',
  'connection reset in the middle of a body',
  'connection reset after three tokens',
  'silence before the first token',
  'silence after three tokens',
  'headers slower than the deadline',
  'slow headers within the deadline',
  'status 500',
  'status 503 with `Retry-After: 7`',
  'status 429 with `Retry-After: 7`',
  'status 400',
  'garbage before the first token',
  'an answer that is not HTTP',
  'status 200 with an error for its body',
  'the node is killed after three tokens',
  'the node was killed and started again',
];

it('docs/faults.md has both a stream and a whole answer of every fault that can befall both', () => {
  const cells = rows.map((row) => `${row.fault} | ${row.asked}`);
  expect(cells).toEqual(expect.arrayContaining(both.flatMap((fault) => [`${fault} | stream`, `${fault} | whole`])));
  expect(new Set(cells).size).toBe(cells.length);
});
