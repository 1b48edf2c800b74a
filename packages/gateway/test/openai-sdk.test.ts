import OpenAI, { APIError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEdge, type Edge } from './start-edge.ts';

let edge: Edge;
let client: OpenAI;
beforeAll(async () => {
  edge = await startEdge({ fleet: { seeing: ['m'] }, model: { capabilities: ['text', 'vision'] } });
  client = new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => edge.close());

const messages = [{ role: 'user' as const, content: 'hello' }];
const words = 'w0 w1 w2 w3 w4 w5 w6 w7 ';

describe('the official OpenAI client', () => {
  it('lists models and retrieves one', async () => {
    const models = await client.models.list();
    expect(models.data.map((model) => model.id)).toEqual(['m', 'alias']);
    expect(await client.models.retrieve('alias')).toMatchObject({ id: 'alias', object: 'model', alias_of: 'm' });
  });

  it('gets a whole answer, with the node in its headers', async () => {
    const { data, response } = await client.chat.completions.create({ model: 'm', messages }).withResponse();
    expect(data.choices[0]?.message.content).toBe('w0 w1 w2 w3 w4 w5 w6 w7 ');
    expect(data.usage?.completion_tokens).toBe(8);
    expect(response.headers.get('x-cortex-node')).toBe('a');
    expect(response.headers.get('x-cortex-cold-start')).toBe('false');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('gets a whole answer of each protocol after blank lines, and throws at an error after them', async () => {
    const slow = await startEdge({
      config: '[gateway]\nwhole_keepalive_secs = 0.05\n',
      model: { first_token_ms: 150 },
    });
    try {
      const patient = new OpenAI({ baseURL: `${slow.url}/v1`, apiKey: 'any', maxRetries: 0 });
      const asked = { model: 'm', input: 'hello' };
      const [chat, response] = await Promise.all([
        patient.chat.completions.create({ model: 'm', messages }).withResponse(),
        patient.responses.create(asked),
      ]);
      expect(chat.response.headers.get('trailer')).toContain('x-cortex-node');
      expect([chat.data.choices[0]?.message.content, response.output_text]).toEqual([words, words]);
      slow.node.faults.push({ kind: 'stall', after_tokens: 1 });
      const broken = patient.chat.completions.create({ model: 'm', messages });
      setTimeout(() => void slow.node.stop(), 200);
      await expect(broken).rejects.toThrow(/terminated|Connection/);
    } finally {
      await slow.close();
    }
  });

  it('streams, with and without usage', async () => {
    const texts: string[] = [];
    for await (const chunk of await client.chat.completions.create({ model: 'alias', messages, stream: true })) {
      expect(chunk.choices).toHaveLength(1);
      texts.push(chunk.choices[0]?.delta.content ?? '');
    }
    expect(texts.join('')).toBe('w0 w1 w2 w3 w4 w5 w6 w7 ');
    const stream = await client.chat.completions.create({
      model: 'm',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage = null;
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    expect(usage).toMatchObject({ completion_tokens: 8 });
  });

  it('sends pictures on, streamed and not', async () => {
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    const content = [{ type: 'image_url' as const, image_url: { url } }];
    const answer = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content }] });
    expect(answer.usage?.prompt_tokens).toBeGreaterThan(64);
    expect(edge.node.seen.at(-1)?.body).toContain(url);
  });

  it('completes text and embeds', async () => {
    const text = await client.completions.create({ model: 'm', prompt: 'once' });
    expect(text.choices[0]?.text).toContain('w0');
    const vectors = await client.embeddings.create({ model: 'm', input: ['a', 'b'], encoding_format: 'float' });
    expect(vectors.data).toHaveLength(2);
  });

  it('throws its typed errors, with our codes', async () => {
    const error = await client.chat.completions.create({ model: 'nope', messages }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
  });

  it('throws when a stream breaks, after what came before', async () => {
    edge.node.faults.push({ kind: 'reset_mid_stream', after_tokens: 3 });
    const texts: string[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of await client.chat.completions.create({ model: 'm', messages, stream: true }))
        texts.push(chunk.choices[0]?.delta.content ?? '');
    };
    await expect(read()).rejects.toBeInstanceOf(APIError);
    expect(texts.join('')).toBe('w0 w1 w2 ');
  });
});
