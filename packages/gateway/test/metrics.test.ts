import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { GatewayMetrics } from '../src/metrics/gateway-metrics.ts';
import { serveMetrics } from '../src/metrics/metrics-server.ts';
import { CortexError, type FleetSnapshot } from '@cortex/core';
import { eventually, startEdge, type Edge, type EdgeOptions } from './start-edge.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let edge: Edge | null = null;
afterEach(async () => {
  await edge?.close();
  edge = null;
});

const start = async (options: EdgeOptions = {}): Promise<Edge> => {
  edge = await startEdge(options);
  return edge;
};

const chat = (to: Edge, body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(`${to.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }], ...body }),
    ...(signal === undefined ? {} : { signal }),
  });

/** `name{labels}` → value. */
const samples = async (metrics: GatewayMetrics): Promise<ReadonlyMap<string, number>> =>
  new Map(
    (await metrics.text())
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))] as const),
  );

const onA = 'model="m",node="a"';
const ended = (to: Edge, n: number): Promise<void> =>
  eventually(() => to.log.filter((line) => line['asked'] === 'm').length === n);

describe('metrics of requests', () => {
  it('count streams and whole answers alike, with tokens and the parts of the first token’s time', async () => {
    const to = await start({ model: { first_token_ms: 30, token_ms: 2 } });
    await (await chat(to, {})).text();
    await (await chat(to, { stream: true })).text();
    await ended(to, 2);
    const found = await samples(to.metrics);
    expect(found.get(`cortex_requests_total{${onA}}`)).toBe(2);
    expect(found.get(`cortex_request_duration_seconds_count{${onA}}`)).toBe(2);
    expect(found.get(`cortex_completion_tokens_total{${onA}}`)).toBe(16);
    expect(found.get(`cortex_prompt_tokens_total{${onA}}`)).toBeGreaterThan(10);
    expect(found.get(`cortex_cached_prompt_tokens_total{${onA}}`)).toBeGreaterThan(4);
    expect(found.get(`cortex_tokens_per_second_count{${onA}}`)).toBe(1);
    const first = 'cortex_time_to_first_token_seconds_sum';
    const total = found.get(`${first}{${onA},phase="total"}`) ?? 0;
    const prefill = found.get(`${first}{${onA},phase="prefill"}`) ?? 0;
    expect(prefill).toBeGreaterThan(0.028);
    expect(total).toBeGreaterThanOrEqual(prefill);
    expect([...found.keys()].some((key) => key.startsWith('cortex_request_errors_total{'))).toBe(false);
  });

  it('count failed and aborted requests, with their code and what they had used', async () => {
    const to = await start({ model: { token_ms: 10, tokens: 1000 } });
    to.node.faults.push({ kind: 'reset_mid_stream', after_tokens: 2 });
    await (await chat(to, { stream: true })).text();
    const controller = new AbortController();
    const response = await chat(to, { stream: true }, controller.signal);
    await response.body?.getReader().read();
    controller.abort();
    await ended(to, 2);
    const found = await samples(to.metrics);
    expect(found.get(`cortex_requests_total{${onA}}`)).toBe(2);
    expect(found.get(`cortex_request_errors_total{${onA},code="upstream_disconnected"}`)).toBe(1);
    expect(found.get(`cortex_request_errors_total{${onA},code="client_closed_request"}`)).toBe(1);
    expect(found.get(`cortex_completion_tokens_total{${onA}}`)).toBeGreaterThanOrEqual(3);
    expect(found.get(`cortex_time_to_first_token_seconds_count{${onA},phase="total"}`)).toBe(2);
  });

  it.each([
    ['/v1/chat/completions', true],
    ['/v1/completions', true],
    ['/v1/messages', true],
    ['/v1/responses', true],
    ['/v1/chat/completions', false],
  ])('count the prompt of what its client left: %s, stream %s', async (path, streams) => {
    const to = await start({ model: { token_ms: 10, tokens: 1000 } });
    const text = 'hello '.repeat(100);
    const said = path === '/v1/completions' ? { prompt: text } : { messages: [{ role: 'user', content: text }] };
    const leave = new AbortController();
    const asked = fetch(to.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', max_tokens: 64, stream: streams, input: text, ...said }),
      signal: leave.signal,
    });
    if (streams) await (await asked).body?.getReader().read();
    else await eventually(() => to.node.nInFlight === 1);
    leave.abort();
    await asked.catch(() => undefined);
    await ended(to, 1);
    const found = await samples(to.metrics);
    // The node tells a stream's; of a whole answer that never came, what the text has at the least.
    const least = Math.ceil(text.length / 16);
    expect(found.get(`cortex_prompt_tokens_total{${onA}}`)).toBeGreaterThan(streams ? 1.5 * least : least - 1);
  });

  it.each(['/v1/messages', '/v1/responses'])(
    'count a stream of %s that its node ended without a reason',
    async (path) => {
      const to = await start();
      to.node.faults.push({ kind: 'done_early', after_tokens: 3 });
      const body = {
        model: 'm',
        max_tokens: 64,
        stream: true,
        messages: [{ role: 'user', content: 'hi' }],
        input: 'hi',
      };
      const headers = { 'content-type': 'application/json' };
      const text = await (await fetch(to.url + path, { method: 'POST', headers, body: JSON.stringify(body) })).text();
      expect(text).toMatch(/event: (error|response\.failed)\n.*\n\n$/);
      await ended(to, 1);
      const found = await samples(to.metrics);
      expect(found.get(`cortex_request_errors_total{${onA},code="upstream_error"}`)).toBe(1);
      expect(to.log.find((line) => line['asked'] === 'm')).toMatchObject({ code: 'upstream_error' });
      expect(to.fleet.released).toMatchObject([{ outcome: { kind: 'failed', error: { code: 'upstream_error' } } }]);
    },
  );

  it('tell what was waited for by those who were refused, or left, while they waited', async () => {
    const to = await start();
    const leave = new AbortController();
    to.fleet.wait = async (progress, signal) => {
      progress({ kind: 'queued', position: 1 });
      await sleep(40);
      progress({ kind: 'loading', node: 'a', fraction: 0, etaSecs: null });
      await sleep(60);
      if (to.fleet.requests.length === 1) throw new CortexError('model_loading', 'not in time');
      leave.abort();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    };
    await (await chat(to, { stream: true })).text();
    await chat(to, { stream: true }, leave.signal).catch(() => undefined);
    await ended(to, 2);
    const found = await samples(to.metrics);
    const parts = `model="m",node="none",phase=`;
    const first = 'cortex_time_to_first_token_seconds';
    expect(found.get(`${first}_count{${parts}"load"}`)).toBe(2);
    expect(found.get(`${first}_sum{${parts}"queue"}`)).toBeGreaterThan(0.07);
    expect(found.get(`${first}_sum{${parts}"load"}`)).toBeGreaterThan(0.11);
    expect(found.has(`${first}_count{${parts}"prefill"}`)).toBe(false);
    const lines = to.log.filter((line) => line['asked'] === 'm');
    expect(lines.map((line) => line['code'])).toEqual(['model_loading', 'client_closed_request']);
    for (const line of lines)
      expect([line['queueMs'], line['loadMs']].map((ms) => Number(ms) > 35)).toEqual([true, true]);
  });

  it('have no series for names that somebody made up', async () => {
    const to = await start();
    for (let i = 0; i < 3; i += 1) await (await chat(to, { model: `made-up-${i}` })).text();
    await (await chat(to, { model: 7 })).text();
    await eventually(() => to.log.filter((line) => line['outcome'] === 'error').length === 4);
    const text = await to.metrics.text();
    expect(text).not.toContain('made-up');
    expect(text).toContain('cortex_requests_total{model="unknown",node="none"} 4');
  });

  it('count what the fleet tells of: loads and evictions', async () => {
    const to = await start();
    to.metrics.notice({ kind: 'load_finished', node: 'a', model: 'm', loadMs: 1 });
    to.metrics.notice({ kind: 'evicted', node: 'a', model: 'm', for: 'n' });
    const found = await samples(to.metrics);
    expect(found.get(`cortex_cold_starts_total{${onA}}`)).toBe(1);
    expect(found.get(`cortex_evictions_total{${onA}}`)).toBe(1);
  });
});

const snapshot: FleetSnapshot = {
  nodes: [
    {
      name: 'a',
      endpoint: 'http://a',
      kind: 'neuron',
      reach: 'up',
      down_reason: null,
      draining: false,
      circuit: 'closed',
      hostname: 'a',
      uptime_secs: 1,
      in_flight: 2,
      cycles: 0,
      defrag_due: false,
      broken_groups: [],
      devices: [
        {
          index: 0,
          name: 'g',
          backend: 'cuda',
          vram_total_mb: 100,
          vram_used_mb: 60,
          vram_free_mb: 40,
          vram_reserved_mb: 0,
          utilization_pct: null,
          temp_c: 55,
          poisoned: false,
          poisoned_reason: null,
        },
      ],
      models: [
        {
          id: 'm',
          status: 'loaded',
          devices: [0],
          vram_used_mb: 60,
          devices_mb: [60],
          layers: [],
          in_flight: 2,
          foreign_in_flight: 1,
          max_in_flight: 4,
          tok_s_decode: null,
          idle_secs: 0,
          closing_for: null,
          pinned: false,
          progress: null,
          reason: null,
        },
      ],
    },
  ],
  queue: { waiting: 3, max: 10, oldest_secs: 1, by_model: [{ model: 'm', waiting: 3 }] },
  plans: [],
  models: [],
};

describe('the metrics port', () => {
  it('looks at the fleet once a scrape, and anew at the next', async () => {
    let nLooks = 0;
    const metrics = new GatewayMetrics(() => {
      nLooks += 1;
      return snapshot;
    });
    await metrics.text();
    expect(nLooks).toBe(1);
    await metrics.text();
    expect(nLooks).toBe(2);
  });

  it('serves the fleet’s gauges as of now, and nothing for what no sensor reads', async () => {
    const server = await serveMetrics(new GatewayMetrics(() => snapshot), { host: '127.0.0.1', port: 0 });
    try {
      const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
      expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
      const text = await response.text();
      for (const line of [
        'cortex_model_in_flight{model="m",node="a"} 3',
        'cortex_model_queue_depth{model="m",node="none"} 3',
        'cortex_device_vram_used_mb{node="a",device="0"} 60',
        'cortex_device_vram_free_mb{node="a",device="0"} 40',
        'cortex_device_temp_c{node="a",device="0"} 55',
      ])
        expect(text).toContain(line);
      expect(text).not.toContain('cortex_device_utilization_pct{');
      expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(404);
    } finally {
      await server.close();
    }
  });

  it('has exactly the metrics that are documented', async () => {
    const text = await new GatewayMetrics(() => snapshot).text();
    const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `(cortex_\w+)`/gm)].map((match) => match[1]);
    expect(served.toSorted()).toEqual(documented.toSorted());
  });
});
