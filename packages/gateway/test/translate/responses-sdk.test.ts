import OpenAI, { BadRequestError } from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChatDelta } from '@cortex/core';
import { startEdge, type Edge, type EdgeOptions } from '../start-edge.ts';

let edge: Edge;
let client: OpenAI;
const start = async (options: EdgeOptions = {}): Promise<void> => {
  edge = await startEdge(options);
  client = new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: 'any', maxRetries: 0 });
};
afterEach(() => edge.close());

const base = { model: 'm', input: 'hello' };
const words = 'w0 w1 w2 w3 w4 w5 w6 w7 ';
const agentDeltas: ChatDelta[] = [
  { reasoning_content: 'let me look' },
  { content: 'Reading.' },
  { tool_calls: [{ index: 0, id: 'call_a', type: 'function', function: { name: 'read', arguments: '' } }] },
  { tool_calls: [{ index: 0, function: { arguments: '{"path": "/a"}' } }] },
];
const agentOutput = [
  { type: 'reasoning', summary: [{ type: 'summary_text', text: 'let me look' }] },
  { type: 'message', content: [{ type: 'output_text', text: 'Reading.' }] },
  { type: 'function_call', call_id: 'call_a', name: 'read', arguments: '{"path": "/a"}' },
];
const tools = [{ type: 'function' as const, name: 'read', parameters: { type: 'object' }, strict: false }];

describe('the official OpenAI client', () => {
  it('gets a whole response', async () => {
    await start();
    const response = await client.responses.create(base);
    expect(response.output_text).toBe(words);
    expect(response).toMatchObject({ status: 'completed', usage: { output_tokens: 8 } });
  });

  it('streams what the whole response holds', async () => {
    await start({ model: { deltas: agentDeltas } });
    const body = { ...base, tools, reasoning: { summary: 'auto' as const } };
    const streamed = await client.responses.stream(body).finalResponse();
    const whole = await client.responses.create(body);
    for (const { output, status } of [streamed, whole]) {
      expect(output).toMatchObject(agentOutput);
      expect(status).toBe('completed');
    }
    expect(streamed.usage).toEqual(whole.usage);
  });

  it('carries on with the items it was given', async () => {
    await start({ model: { deltas: agentDeltas } });
    const first = await client.responses.create({ ...base, tools, include: ['reasoning.encrypted_content'] });
    await client.responses.create({
      model: 'm',
      tools,
      input: [
        { role: 'user', content: 'hello' },
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: 'function_call_output', call_id: 'call_a', output: 'the file' },
      ],
    });
    expect(JSON.parse(edge.node.seen.at(-1)!.body)).toMatchObject({
      messages: [
        { role: 'user', content: 'hello' },
        {
          role: 'assistant',
          content: 'Reading.',
          reasoning_content: 'let me look',
          tool_calls: [{ id: 'call_a', function: { name: 'read', arguments: '{"path": "/a"}' } }],
        },
        { role: 'tool', tool_call_id: 'call_a', content: 'the file' },
      ],
    });
  });

  it('sends pictures on', async () => {
    await start({ fleet: { seeing: ['m'] }, model: { capabilities: ['text', 'vision'] } });
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    const content = [{ type: 'input_image' as const, image_url: url, detail: 'auto' as const }];
    await client.responses.create({ model: 'm', input: [{ role: 'user', content }] });
    expect(edge.node.seen.at(-1)?.body).toContain(url);
  });

  it('is told that an answer is incomplete', async () => {
    await start();
    const asked = { ...base, max_output_tokens: 3 };
    for (const response of [await client.responses.create(asked), await client.responses.stream(asked).finalResponse()])
      expect(response).toMatchObject({
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        output: [{ status: 'incomplete' }],
      });
  });

  it('is kept waiting with comments', async () => {
    await start({ config: '[gateway]\nkeepalive_secs = 0.05\n', model: { first_token_ms: 400 } });
    const response = await client.responses.create({ ...base, stream: true }).asResponse();
    expect(await response.text()).toMatch(/^: /);
    expect((await client.responses.stream(base).finalResponse()).output_text).toBe(words);
  });

  it('knows our errors as its own', async () => {
    await start();
    const refused = client.responses.create({ ...base, previous_response_id: 'resp_1' });
    await expect(refused).rejects.toBeInstanceOf(BadRequestError);
    await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'previous_response_id' });
  });

  it.each(['stall', 'reset_mid_stream', 'end_without_done'] as const)(
    'is told when the stream breaks off: %s',
    async (kind) => {
      await start({ config: '[proxy]\ntoken_gap_timeout_secs = 0.3\n' });
      edge.node.faults.push({ kind, after_tokens: 3 });
      const types: string[] = [];
      const response = await client.responses
        .stream(base)
        .on('event', ({ type }) => types.push(type))
        .finalResponse();
      expect(response).toMatchObject({
        status: 'failed',
        error: { code: kind === 'stall' ? 'upstream_timeout' : 'upstream_disconnected' },
        output: [{ status: 'incomplete', content: [{ text: 'w0 w1 w2 ' }] }],
      });
      expect(types.at(-1)).toBe('response.failed');
      expect(types).not.toContain('response.completed');
    },
  );
});
