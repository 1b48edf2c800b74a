import Anthropic, { APIError, BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChatDelta } from '@cortex/core';
import { startEdge, type Edge, type EdgeOptions } from '../start-edge.ts';

let edge: Edge;
let client: Anthropic;
const start = async (options: EdgeOptions = {}): Promise<void> => {
  edge = await startEdge(options);
  client = new Anthropic({ baseURL: edge.url, apiKey: 'any', maxRetries: 0 });
};
afterEach(() => edge.close());

const messages = [{ role: 'user' as const, content: 'hello' }];
const base = { model: 'm', max_tokens: 64, messages };
const words = 'w0 w1 w2 w3 w4 w5 w6 w7 ';

const agentDeltas: ChatDelta[] = [
  { reasoning_content: 'let me ' },
  { reasoning_content: 'look' },
  { content: 'Reading.' },
  { tool_calls: [{ index: 0, id: 'call_a', type: 'function', function: { name: 'read', arguments: '' } }] },
  { tool_calls: [{ index: 0, function: { arguments: '{"path": "/a' } }] },
  { tool_calls: [{ index: 0, function: { arguments: '"}' } }] },
  { tool_calls: [{ index: 1, id: 'call_b', type: 'function', function: { name: 'now', arguments: '{}' } }] },
];
const tools = [
  { name: 'read', input_schema: { type: 'object' as const } },
  { name: 'now', input_schema: { type: 'object' as const } },
];
const agentContent = [
  { type: 'thinking', thinking: 'let me look' },
  { type: 'text', text: 'Reading.' },
  { type: 'tool_use', id: 'call_a', name: 'read', input: { path: '/a' } },
  { type: 'tool_use', id: 'call_b', name: 'now', input: {} },
];

describe('the official Anthropic client', () => {
  it('gets a whole message', async () => {
    await start();
    const { data, response, request_id: requestId } = await client.messages.create(base).withResponse();
    expect(data).toMatchObject({ content: [{ type: 'text', text: words }], stop_reason: 'end_turn', model: 'm' });
    const { input_tokens: fresh, cache_read_input_tokens: cached, output_tokens: written } = data.usage;
    expect([fresh > 0, cached! > 0, written]).toEqual([true, true, 8]);
    expect(response.headers.get('x-cortex-node')).toBe('a');
    expect(requestId).toBe(response.headers.get('x-request-id'));
  });

  it('streams, with the true length of the prompt from the first event on', async () => {
    await start();
    const stream = client.messages.stream(base);
    const started: unknown[] = [];
    stream.on('streamEvent', (event) => {
      if (event.type === 'message_start') started.push({ ...event.message.usage });
    });
    const message = await stream.finalMessage();
    expect(message).toMatchObject({ content: [{ type: 'text', text: words }], stop_reason: 'end_turn' });
    const { input_tokens, cache_read_input_tokens } = message.usage;
    expect(started).toMatchObject([{ input_tokens, cache_read_input_tokens }]);
    expect(input_tokens).toBeGreaterThan(0);
  });

  it('streams thinking, text and calls as whole messages hold them', async () => {
    await start({ model: { deltas: agentDeltas } });
    const body = { ...base, tools, thinking: { type: 'adaptive' as const } };
    const seen: string[] = [];
    const stream = client.messages
      .stream(body)
      .on('thinking', (delta) => seen.push(`thinking:${delta}`))
      .on('text', (delta) => seen.push(`text:${delta}`))
      .on('contentBlock', (block) => seen.push(`block:${block.type}`));
    const streamed = await stream.finalMessage();
    const whole = await client.messages.create(body);
    for (const message of [streamed, whole]) {
      expect(message.content).toMatchObject(agentContent);
      expect(message.stop_reason).toBe('tool_use');
    }
    expect(seen).toEqual([
      'thinking:let me ',
      'thinking:look',
      'block:thinking',
      'text:Reading.',
      'block:text',
      'block:tool_use',
      'block:tool_use',
    ]);
  });

  it('carries on with results, pictures in them included', async () => {
    await start({ fleet: { seeing: ['m'] }, model: { capabilities: ['text', 'vision'] } });
    const image = {
      type: 'image' as const,
      source: { type: 'base64' as const, media_type: 'image/png' as const, data: 'iVBORw0KGgo=' },
    };
    await client.messages.create({
      ...base,
      tools,
      messages: [
        ...messages,
        { role: 'assistant', content: [{ type: 'tool_use', id: 'call_a', name: 'read', input: { path: '/a' } }] },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'call_a', content: [image], is_error: true }],
        },
      ],
    });
    expect(JSON.parse(edge.node.seen.at(-1)!.body)).toMatchObject({
      messages: [
        { role: 'user' },
        { role: 'assistant', tool_calls: [{ id: 'call_a' }] },
        {
          role: 'tool',
          tool_call_id: 'call_a',
          content: [{ type: 'text', text: 'Error: ' }, { image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }],
        },
      ],
    });
  });

  it('counts tokens by the tokenizer of the node', async () => {
    await start();
    const short = await client.messages.countTokens({ model: 'm', messages });
    const long = await client.messages.countTokens({ model: 'm', system: 'S'.repeat(400), messages });
    expect(short.input_tokens).toBeGreaterThan(0);
    expect(long.input_tokens).toBeGreaterThanOrEqual(short.input_tokens + 100);
  });

  it('is kept waiting with pings', async () => {
    const config = '[gateway]\nkeepalive_secs = 0.05\n';
    await start({ config, model: { first_token_ms: 400 } });
    const response = await client.messages.create({ ...base, stream: true }).asResponse();
    const text = await response.text();
    expect(text.indexOf('event: ping')).toBeLessThan(text.indexOf('event: message_start'));
    expect(await client.messages.stream(base).finalText()).toBe(words);
  });

  it('knows our errors as its own', async () => {
    await start();
    await expect(client.messages.create({ ...base, model: 'nothing' })).rejects.toBeInstanceOf(NotFoundError);
    const bad = client.messages.create({ ...base, max_tokens: 0 });
    await expect(bad).rejects.toBeInstanceOf(BadRequestError);
    await expect(bad).rejects.toMatchObject({
      requestID: expect.stringMatching(/^req_/),
      error: { type: 'error', error: { type: 'invalid_request_error', param: 'max_tokens' } },
    });
  });

  it.each(['stall', 'reset_mid_stream', 'end_without_done'] as const)(
    'is told when the stream breaks off: %s',
    async (kind) => {
      await start({ config: '[proxy]\ntoken_gap_timeout_secs = 0.3\n' });
      edge.node.faults.push({ kind, after_tokens: 3 });
      const stream = client.messages.stream(base);
      await expect(stream.finalMessage()).rejects.toBeInstanceOf(APIError);
      await expect(stream.finalMessage()).rejects.toMatchObject({ error: { error: { type: 'api_error' } } });
    },
  );

  it('never sees a node that failed before its first word', async () => {
    await start({ nNodes: 2 });
    edge.node.faults.push({ kind: 'reset_mid_stream', after_tokens: 0 });
    expect(await client.messages.stream(base).finalText()).toBe(words);
  });
});
