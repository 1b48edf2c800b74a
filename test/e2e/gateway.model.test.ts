/** The official clients through the gateway to a real neuron: both as they are served, over loopback. */
import Anthropic, { BadRequestError } from '@anthropic-ai/sdk';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cortexConfigSchema, modelsConfigSchema } from '@cortex/core';
import { startGateway, type Gateway } from '../../packages/gateway/src/main.ts';
import {
  fixtureEos,
  fixtureModel,
  root,
  shapesModel,
  startNeuronProcess,
  type NeuronProcess,
} from './neuron-process.ts';

const describing = "What's in this image?";
const samplesDir = join(root, 'models/shapes-vl/samples');
const { file, description } = (
  JSON.parse(readFileSync(join(samplesDir, 'samples.json'), 'utf8')) as { file: string; description: string }[]
)[0]!;
const data = readFileSync(join(samplesDir, file)).toString('base64');
const image = { type: 'image' as const, source: { type: 'base64' as const, media_type: 'image/png' as const, data } };
const tools = [{ name: 'look', description: 'Looks.', input_schema: { type: 'object' as const, properties: {} } }];

let neuron: NeuronProcess;
let gateway: Gateway;
let openai: OpenAI;
let anthropic: Anthropic;
beforeAll(async () => {
  neuron = await startNeuronProcess({ load: [shapesModel] });
  const cortex = cortexConfigSchema.parse({
    gateway: { listen: '127.0.0.1:0', metrics_listen: '127.0.0.1:0' },
    poller: { interval_secs: 0.2 },
    neurons: [{ name: 'real', endpoint: neuron.url }],
  });
  const models = modelsConfigSchema.parse({ aliases: { 'claude-*': shapesModel } });
  gateway = await startGateway({ cortex, models, modelsFile: null }, { write: () => undefined });
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey: 'none', maxRetries: 0 });
}, 90_000);
afterAll(async () => {
  await gateway?.close(0);
  await neuron?.[Symbol.asyncDispose]();
});

const stateOf = async (model: string): Promise<unknown> =>
  (await openai.models.list()).data
    .map((one) => ({ ...one }) as Record<string, unknown>)
    .find(({ id }) => id === model)?.['state'];

describe('the OpenAI client', () => {
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } },
        { type: 'text', text: describing },
      ],
    },
  ];

  it('has a picture described, whole and streamed', async () => {
    const request = { model: shapesModel, messages, temperature: 0 };
    const { data: whole, response } = await openai.chat.completions.create(request).withResponse();
    expect(whole.choices[0]?.message.content).toBe(description);
    expect(response.headers.get('x-cortex-node')).toBe('real');
    let streamed = '';
    for await (const chunk of await openai.chat.completions.create({ ...request, stream: true }))
      streamed += chunk.choices[0]?.delta.content ?? '';
    expect(streamed).toBe(description);
  });

  it('has it described over Responses, whole and streamed', async () => {
    const request: OpenAI.Responses.ResponseCreateParamsNonStreaming = {
      model: shapesModel,
      temperature: 0,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_image', image_url: `data:image/png;base64,${data}`, detail: 'auto' },
            { type: 'input_text', text: describing },
          ],
        },
      ],
    };
    expect((await openai.responses.create(request)).output_text).toBe(description);
    const stream = openai.responses.stream({ ...request, stream: true });
    expect((await stream.finalResponse()).output_text).toBe(description);
  });
});

describe('the Anthropic client', () => {
  const base = { model: 'claude-opus-9', max_tokens: 32, temperature: 0 };
  const messages: Anthropic.MessageParam[] = [{ role: 'user', content: [image, { type: 'text', text: describing }] }];

  it('has a picture described, whole and streamed, with the true figures from the first event on', async () => {
    const whole = await anthropic.messages.create({ ...base, messages });
    expect(whole).toMatchObject({ content: [{ type: 'text', text: description }], stop_reason: 'end_turn' });
    const stream = anthropic.messages.stream({ ...base, messages });
    const started: number[] = [];
    stream.on('streamEvent', (event) => {
      if (event.type !== 'message_start') return;
      const { input_tokens: fresh, cache_read_input_tokens: cached } = event.message.usage;
      started.push(fresh + (cached ?? 0));
    });
    expect(await stream.finalText()).toBe(description);
    const { input_tokens } = await anthropic.messages.countTokens({ model: base.model, messages });
    const { usage } = whole;
    expect([started, usage.input_tokens + (usage.cache_read_input_tokens ?? 0)]).toEqual([
      [input_tokens],
      input_tokens,
    ]);
  });

  it('is told how long a prompt is, tools and pictures included, without a load of the model', async () => {
    const question: Anthropic.MessageParam[] = [{ role: 'user', content: 'Go on.' }];
    const count = async (more: Partial<Anthropic.MessageCountTokensParams>): Promise<number> =>
      (await anthropic.messages.countTokens({ model: fixtureModel, messages: question, ...more })).input_tokens;
    const plain = await count({});
    expect(await count({ tools })).toBeGreaterThan(plain);
    expect(
      await count({ messages: [{ role: 'user', content: [image, { type: 'text', text: 'Go on.' }] }] }),
    ).toBeGreaterThan(plain);
    expect(await stateOf(fixtureModel)).toBe('available');
  });

  it('loads what is on disk only, and gets calls, results with pictures, and late system turns through', async () => {
    const tool = { type: 'tool_use' as const, id: 'toolu_1', name: 'look', input: {} };
    const result = { type: 'tool_result' as const, tool_use_id: tool.id, content: [image], is_error: true };
    const agent = {
      model: fixtureModel,
      max_tokens: 24,
      tools,
      system: 'Be brief.',
      messages: [
        { role: 'user' as const, content: 'Look.' },
        { role: 'assistant' as const, content: [tool] },
        { role: 'user' as const, content: [result] },
        { role: 'system' as 'user', content: 'Now in plan mode.' },
      ],
    };
    const whole = await anthropic.messages.create(agent);
    expect(whole.usage.output_tokens).toBeGreaterThan(0);
    expect(await stateOf(fixtureModel)).toBe('loaded');
    const counted = await anthropic.messages.countTokens({
      model: agent.model,
      tools,
      system: agent.system,
      messages: agent.messages,
    });
    expect(whole.usage.input_tokens + (whole.usage.cache_read_input_tokens ?? 0)).toBe(counted.input_tokens);
    const forced = await anthropic.messages
      .stream({ ...agent, max_tokens: 200, tool_choice: { type: 'tool', name: 'look' } })
      .finalMessage();
    expect(forced).toMatchObject({ content: [{ type: 'tool_use', name: 'look' }], stop_reason: 'tool_use' });
    const thinking = await anthropic.messages
      .stream({ ...agent, thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 24 } as never)
      .finalMessage();
    expect(thinking.content.map(({ type }) => type)).toContain('thinking');
  });

  it('has what it got wrong told as its own kind of error', async () => {
    const broken = { ...image, source: { ...image.source, data: 'bm90IGEgcGljdHVyZQ==' } };
    const asked = anthropic.messages.create({ ...base, messages: [{ role: 'user', content: [broken] }] });
    await expect(asked).rejects.toBeInstanceOf(BadRequestError);
    await expect(asked).rejects.toMatchObject({ error: { error: { code: 'invalid_image' } } });
  });

  it('frees the model at once when it leaves a stream', async () => {
    const controller = new AbortController();
    const request = { model: fixtureModel, messages: [{ role: 'user' as const, content: 'Go on.' }], max_tokens: 4000 };
    const stream = await openai.chat.completions.create(
      { ...request, logit_bias: fixtureEos, stream: true },
      { signal: controller.signal },
    );
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    controller.abort();
    const startMs = performance.now();
    while ((await neuron.inFlight(fixtureModel)) > 0 && performance.now() - startMs < 5000)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await neuron.inFlight(fixtureModel)).toBe(0);
  });
});

const aboutPicture = (system: string, picture: string): Promise<Anthropic.Message> => {
  const source = { type: 'base64' as const, media_type: 'image/png' as const, data: picture };
  const content = [
    { type: 'image' as const, source },
    { type: 'text' as const, text: 'Which shape is it, and where?' },
  ];
  const greedy = { model: shapesModel, max_tokens: 8, temperature: 0 };
  return anthropic.messages.create({ ...greedy, system, messages: [{ role: 'user', content }] });
};

const turn = (role: 'user' | 'assistant', content: string) => ({ role, content });

describe('what earlier turns computed', () => {
  const system = 'You speak of shapes and colours alone, and never of the sea. '.repeat(6);
  const base = { model: fixtureModel, max_tokens: 8, temperature: 0 };
  const history = [turn('user', 'Name a shape, please.'), turn('assistant', 'A ring.'), turn('user', 'And a colour?')];
  let nFirst = 0;
  beforeAll(async () => {
    const messages = [{ role: 'system' as const, content: system }, history[0]!];
    const { usage } = await openai.chat.completions.create({ ...base, messages });
    nFirst = usage?.prompt_tokens ?? 0;
  });
  /** All of the first prompt but what its end may be told otherwise. */
  const expectReused = (nCached: number | null | undefined): void => {
    expect(nCached).toBeGreaterThan(nFirst - 32);
    expect(nFirst).toBeGreaterThan(64);
  };

  it('is not computed again in the next, as a stream of chat says', async () => {
    const stream = await openai.chat.completions.create({
      ...base,
      messages: [{ role: 'system', content: system }, ...history],
      stream: true,
      stream_options: { include_usage: true },
    });
    let nCached = 0;
    for await (const { usage } of stream) nCached = usage?.prompt_tokens_details?.cached_tokens ?? nCached;
    expectReused(nCached);
  });

  it('nor in the other protocols, whole and streamed', async () => {
    const request = { ...base, system, messages: history };
    expectReused((await anthropic.messages.create(request)).usage.cache_read_input_tokens);
    expectReused((await anthropic.messages.stream(request).finalMessage()).usage.cache_read_input_tokens);
    const { model, temperature, max_tokens: max_output_tokens } = base;
    const asked = { model, temperature, max_output_tokens, instructions: system, input: history };
    expectReused((await openai.responses.create(asked)).usage?.input_tokens_details.cached_tokens);
    const streamed = await openai.responses.stream({ ...asked, stream: true }).finalResponse();
    expectReused(streamed.usage?.input_tokens_details.cached_tokens);
  });

  it('is not taken for that of another picture, though the words are the same', async () => {
    const others = readFileSync(join(root, 'models/shapes-vl/samples/shapes-2-224x224.png')).toString('base64');
    const first = await aboutPicture(system, data);
    const again = await aboutPicture(system, data);
    expect(again.content).toEqual(first.content);
    const [seen, other] = [
      again.usage.cache_read_input_tokens ?? 0,
      (await aboutPicture(system, others)).usage.cache_read_input_tokens ?? 0,
    ];
    // Up to the end of the system prompt at most.
    expect(seen - other).toBeGreaterThan(25);
  });
});
