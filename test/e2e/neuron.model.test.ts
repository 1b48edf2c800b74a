import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BadRequestError } from 'openai';
import type {
  ChatCompletionContentPart,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen3 } from '../../packages/neuron/test/generated-models.ts';
import { writeCheckpoint } from '../../packages/neuron/test/write-checkpoint.ts';
import {
  fixtureEos,
  fixtureModel,
  root,
  shapesModel,
  startNeuronProcess,
  type NeuronProcess,
} from './neuron-process.ts';

interface Sample {
  readonly file: string;
  readonly description: string;
  readonly questions: readonly {
    readonly question: string;
    readonly truth: string;
    readonly right: boolean;
    readonly grid_thw: readonly [number, number, number];
  }[];
}

const samplesDir = join(root, 'models/shapes-vl/samples');
const samples = (JSON.parse(readFileSync(join(samplesDir, 'samples.json'), 'utf8')) as Partial<Sample>[]).filter(
  (sample): sample is Sample => sample.questions !== undefined,
);
const sample = (i: number): Sample => samples[i]!;
const describing = "What's in this image?";
const textModel = 'text-only';

const picture = ({ file }: Sample): ChatCompletionContentPart => {
  const bytes = readFileSync(join(samplesDir, file));
  return { type: 'image_url', image_url: { url: `data:image/png;base64,${bytes.toString('base64')}` } };
};

const text = (value: string): ChatCompletionContentPart => ({ type: 'text', text: value });

const ask = (...content: readonly ChatCompletionContentPart[]): ChatCompletionMessageParam[] => [
  { role: 'user', content: [...content] },
];

const about = (of: Sample, question = describing): ChatCompletionCreateParamsNonStreaming => ({
  model: shapesModel,
  messages: ask(picture(of), text(question)),
});

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  for (const start = Date.now(); Date.now() - start < 20_000;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it did not come to pass within 20 s');
};

let dir: string;
let neuron: NeuronProcess;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'models-'));
  await writeCheckpoint(join(dir, textModel), tinyQwen3());
  neuron = await startNeuronProcess({ modelDirs: [dir], load: [shapesModel, fixtureModel] });
}, 90_000);
afterAll(async () => {
  await neuron?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const answer = async (request: ChatCompletionCreateParamsNonStreaming): Promise<string | null> => {
  const { choices } = await neuron.client.chat.completions.create({ temperature: 0, ...request });
  return choices[0]!.message.content;
};

describe('a picture', () => {
  it.each([0, 1, 7])('is described right, and otherwise than the others: sample %i', async (i) => {
    expect(await answer(about(sample(i)))).toBe(sample(i).description);
  });

  it('is described in a stream by the same text, closed by its usage', async () => {
    const stream = await neuron.client.chat.completions.create({
      ...about(sample(0)),
      stream: true,
      stream_options: { include_usage: true },
    });
    let content = '';
    const finishes: (string | null)[] = [];
    let usage;
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? '';
      finishes.push(...chunk.choices.map((choice) => choice.finish_reason));
      usage = chunk.usage ?? usage;
    }
    expect(content).toBe(sample(0).description);
    expect(finishes.filter((reason) => reason !== null)).toEqual(['stop']);
    expect(usage).toMatchObject({ prompt_tokens: 41, prompt_tokens_details: { image_tokens: 25 } });
  });

  it('is the one that questions about it are answered from', async () => {
    const right = sample(0).questions.filter((question) => question.right);
    expect(right.length).toBeGreaterThan(2);
    for (const { question, truth } of right) expect(await answer(about(sample(0), question))).toBe(truth);
  });

  it('is not seen where none was sent', async () => {
    const { choices, usage } = await neuron.client.chat.completions.create({
      model: shapesModel,
      messages: [{ role: 'user', content: describing }],
    });
    expect(choices[0]!.message.content).toContain("I don't see an image");
    expect(usage?.prompt_tokens).toBe(14);
    expect(usage?.prompt_tokens_details).toMatchObject({ image_tokens: 0 });
  });

  it('may come with others: every one is in the prompt', async () => {
    const { usage } = await neuron.client.chat.completions.create({
      model: shapesModel,
      max_tokens: 4,
      messages: [
        ...ask(text('First'), picture(sample(0)), text('and'), picture(sample(5))),
        { role: 'assistant', content: 'Two pictures.' },
        ...ask(picture(sample(7)), text(describing)),
      ],
    });
    const nTokens = [0, 5, 7].map((i) => sample(i).questions[0]!.grid_thw.reduce((product, n) => product * n, 1) / 4);
    expect(usage?.prompt_tokens_details).toMatchObject({ image_tokens: nTokens.reduce((sum, n) => sum + n, 0) });
  });

  it('gives a model that cannot see it a refusal that names one that can', async () => {
    const refused = neuron.client.chat.completions.create({ ...about(sample(0)), model: textModel });
    await expect(refused).rejects.toBeInstanceOf(BadRequestError);
    await expect(refused).rejects.toMatchObject({
      status: 400,
      code: 'vision_unsupported',
      error: { model_id: textModel, suggestion: expect.stringMatching(/shapes-vl|qwen3_5-vl-tiny/) as string },
    });
    // Before any work: the model is not even loaded.
    expect((await neuron.health()).models.map(({ id }) => id)).not.toContain(textModel);
  });
});

describe('requests at once', () => {
  it('get the answers that they get one after the other', async () => {
    const requests = [about(sample(0)), about(sample(1)), about(sample(4)), about(sample(6)), about(sample(0))];
    const story: ChatCompletionCreateParamsNonStreaming = {
      model: fixtureModel,
      messages: [{ role: 'user', content: 'Tell me of the quick brown fox.' }],
      max_tokens: 24,
    };
    const all = [...requests, story, story];
    const together = await Promise.all(all.map(answer));
    const apart: (string | null)[] = [];
    for (const request of all) apart.push(await answer(request));
    expect(together).toEqual(apart);
    expect(new Set(together).size).toBe(5);
  });
});

const rambling = (options: Partial<ChatCompletionCreateParamsNonStreaming> = {}) => ({
  model: fixtureModel,
  messages: [{ role: 'user' as const, content: 'Go on.' }],
  logit_bias: fixtureEos,
  max_tokens: 16,
  ...options,
});

const sampled = (seed: number) => answer(rambling({ temperature: 1.5, seed }));

describe('sampling and length', () => {
  it('ends at max_tokens with length', async () => {
    const { choices, usage } = await neuron.client.chat.completions.create(rambling({ max_tokens: 5 }));
    expect(choices[0]!.finish_reason).toBe('length');
    expect(usage?.completion_tokens).toBe(5);
  });

  it('ends before a stop string', async () => {
    const { choices } = await neuron.client.chat.completions.create({ ...about(sample(0)), stop: ['square'] });
    expect(choices[0]!.finish_reason).toBe('stop');
    expect(choices[0]!.message.content).toBe(sample(0).description.split('square')[0]);
  });

  it('repeats itself with a seed and not with another', async () => {
    const first = await sampled(7);
    expect(await sampled(7)).toBe(first);
    expect(await sampled(8)).not.toBe(first);
  });

  it('gives n choices that differ, each whole', async () => {
    const { choices, usage } = await neuron.client.chat.completions.create(
      rambling({ n: 2, temperature: 1.5, seed: 3 }),
    );
    expect(choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(['length', 'length']);
    expect(choices[0]!.message.content).not.toBe(choices[1]!.message.content);
    expect(usage?.completion_tokens).toBe(32);
  });

  it('gives the log probability of each token and of the likeliest', async () => {
    const { choices } = await neuron.client.chat.completions.create({
      ...about(sample(0)),
      logprobs: true,
      top_logprobs: 3,
    });
    const tokens = choices[0]!.logprobs?.content ?? [];
    expect(tokens.map(({ token }) => token).join('')).toBe(sample(0).description);
    for (const { token, logprob, top_logprobs } of tokens) {
      expect(top_logprobs).toHaveLength(3);
      // Greedy: the chosen one is the likeliest.
      expect(top_logprobs[0]).toMatchObject({ token, logprob });
      expect(top_logprobs[0]!.logprob).toBeGreaterThanOrEqual(top_logprobs[1]!.logprob);
      expect(top_logprobs.reduce((sum, top) => sum + Math.exp(top.logprob), 0)).toBeLessThanOrEqual(1.0001);
    }
  });
});

describe('a set form', () => {
  it('is kept by a model that knows none: json_schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        colour: { enum: ['red', 'green'] },
        filled: { type: 'boolean' },
        sizes: { type: 'array', items: { enum: [1, 2] }, minItems: 2, maxItems: 2 },
      },
      required: ['colour', 'filled', 'sizes'],
      additionalProperties: false,
    };
    const { choices } = await neuron.client.chat.completions.create(
      rambling({
        max_tokens: 256,
        temperature: 1,
        seed: 1,
        response_format: { type: 'json_schema', json_schema: { name: 'shape', schema, strict: true } },
      }),
    );
    expect(choices[0]!.finish_reason).toBe('stop');
    const value = JSON.parse(choices[0]!.message.content ?? '') as Record<string, unknown>;
    expect(Object.keys(value).sort()).toEqual(['colour', 'filled', 'sizes']);
    expect(['red', 'green']).toContain(value['colour']);
    expect(value['filled']).toBeTypeOf('boolean');
    expect(value['sizes']).toHaveLength(2);
  });

  const tool = {
    type: 'function' as const,
    function: {
      name: 'paint',
      parameters: {
        type: 'object',
        properties: { colour: { type: 'string', enum: ['red', 'green'] }, coats: { enum: [1, 2] } },
        required: ['colour', 'coats'],
        additionalProperties: false,
      },
    },
  };

  it('is that of a tool call when one is required, also in a stream', async () => {
    const request = rambling({
      max_tokens: 300,
      temperature: 1,
      seed: 5,
      // Nothing but calls may follow a call where the answer's end is barred.
      logit_bias: {},
      tools: [tool],
      tool_choice: 'required',
      parallel_tool_calls: false,
    });
    const { choices } = await neuron.client.chat.completions.create(request);
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    const call = choices[0]!.message.tool_calls?.[0];
    if (call?.type !== 'function') throw new Error('no function was called');
    expect(call.function.name).toBe('paint');
    const given = JSON.parse(call.function.arguments) as { colour: unknown; coats: unknown };
    expect(['red', 'green']).toContain(given.colour);
    expect([1, 2]).toContain(given.coats);

    let streamed = '';
    for await (const { choices: deltas } of await neuron.client.chat.completions.create({ ...request, stream: true })) {
      for (const delta of deltas[0]?.delta.tool_calls ?? [])
        if (delta.index === 0) streamed += delta.function?.arguments ?? '';
    }
    expect(JSON.parse(streamed)).toEqual(given);
  });
});

describe('a client that leaves', () => {
  it('gives its slot back', async () => {
    const stream = await neuron.client.chat.completions.create({ ...rambling({ max_tokens: 3000 }), stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    stream.controller.abort();
    await until(async () => (await neuron.inFlight(fixtureModel)) === 0);
    const { models } = await neuron.health();
    expect(models.find(({ id }) => id === fixtureModel)).toMatchObject({ in_flight: 0, queue_depth: 0 });
  });

  it('before it is served leaves the queue', async () => {
    const controllers = Array.from({ length: 6 }, () => new AbortController());
    const waiting = controllers.map(({ signal }) =>
      neuron.client.chat.completions
        .create(rambling({ max_tokens: 3000 }), { signal })
        .catch((error: unknown) => error),
    );
    await until(async () => (await neuron.inFlight(fixtureModel)) > 0);
    for (const controller of controllers) controller.abort();
    await Promise.all(waiting);
    await until(async () => (await neuron.inFlight(fixtureModel)) === 0);
    expect(await answer(rambling({ max_tokens: 2 }))).toBeTypeOf('string');
  });
});

const statusOf = async (id: string): Promise<string | undefined> => {
  const models = (await (await fetch(`${neuron.url}/models`)).json()) as { id: string; status: string }[];
  return models.find((model) => model.id === id)?.status;
};

describe('models', () => {
  it('are loaded and unloaded over HTTP', async () => {
    expect(await statusOf(textModel)).toBe('available');
    expect(await neuron.post('/models/load', { model_id: textModel, wait: true })).toMatchObject({
      status: 200,
      body: { status: 'loaded' },
    });
    expect(await statusOf(textModel)).toBe('loaded');
    expect(await answer({ ...rambling({ max_tokens: 4 }), model: textModel })).toBeTypeOf('string');
    expect(await neuron.post('/models/unload', { model_id: textModel })).toMatchObject({
      status: 200,
      body: { status: 'unloaded' },
    });
    expect(await statusOf(textModel)).toBe('available');
  });
});
