import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { completionRequestSchema, embeddingsRequestSchema, tokenizeRequestSchema } from '@cortex/core';
import { collect, encode, ids, newContext, picture, says, setUp, userTurn } from '../../test/harness-setup.ts';
import type { Answer, HarnessSetup } from '../../test/harness-setup.ts';

let setup: HarnessSetup;
beforeAll(async () => {
  setup = await setUp({ prefill_chunk: 4 });
});
afterEach(() => {
  setup.device.script = says('');
});
afterAll(() => setup[Symbol.asyncDispose]());

const complete = (rest: Record<string, unknown>): Promise<Answer> =>
  collect(setup.harness.complete(completionRequestSchema.parse({ model: ids.vision, ...rest }), newContext()));
const embed = (rest: Record<string, unknown>) =>
  setup.harness.embed(embeddingsRequestSchema.parse({ model: ids.vision, ...rest }), newContext());
const tokenize = (rest: Record<string, unknown>) =>
  setup.harness.tokenize(tokenizeRequestSchema.parse({ model: ids.vision, ...rest }));

const pads = ({ tokens }: { readonly tokens: readonly number[] }): number => tokens.filter((id) => id === 632).length;

describe('counting tokens', () => {
  it('loads nothing onto a device', async () => {
    const text = await tokenize({ prompt: 'Hello <|im_end|>' });
    expect(text).toEqual({ count: text.tokens.length, max_model_len: 4096, tokens: encode('Hello <|im_end|>') });
    expect(text.tokens.at(-1)).toBe(628);
    expect(setup.device.loads).toEqual([]);
  });

  it('counts a conversation as its prompt would be, images included', async () => {
    const counted = await tokenize({ messages: [userTurn('What is ', { image: picture }, '?')] });
    expect(counted.count).toBe(counted.tokens.length);
    expect(pads(counted)).toBeGreaterThan(1);
  });

  it('shrinks pictures to the limit of the operator', async () => {
    await using small = await setUp({ image_resized_pixels_max: 65_536 });
    const file = await readFile(new URL('../../../../fixtures/images/square-448.png', import.meta.url));
    const messages = [userTurn({ image: `data:image/png;base64,${file.toString('base64')}` })];
    const request = tokenizeRequestSchema.parse({ model: ids.vision, messages });
    expect(pads(await setup.harness.tokenize(request))).toBe(196);
    expect(pads(await small.harness.tokenize(request))).toBe(64);
  });

  it('refuses pictures for a model that does not see, and models that are not there', async () => {
    const messages = [userTurn({ image: picture })];
    await expect(tokenize({ model: ids.text, messages })).rejects.toMatchObject({ code: 'vision_unsupported' });
    await expect(tokenize({ model: 'none', prompt: 'x' })).rejects.toMatchObject({ code: 'model_not_found' });
  });
});

describe('a text completion', () => {
  it('numbers its choices on from prompt to prompt', async () => {
    setup.device.script = ({ promptIds }, choice) => encode(`${promptIds.length}-${choice}`);
    const { text, finish, usage } = await complete({ prompt: ['one', 'one two three'], n: 2 });
    const [short, long] = [encode('one').length, encode('one two three').length];
    expect(text).toEqual([`${short}-0`, `${short}-1`, `${long}-0`, `${long}-1`]);
    expect(finish).toEqual(['stop', 'stop', 'stop', 'stop']);
    expect(usage.prompt_tokens).toBe(short + long);
    expect(usage.completion_tokens).toBe(text.reduce((sum, each) => sum + encode(each).length, 0));
  });

  it('takes ids as they are, and says its prompt first when asked', async () => {
    setup.device.script = says(' there');
    expect((await complete({ prompt: encode('Hello'), echo: true })).text).toEqual(['Hello there']);
    expect([...(setup.device.specs.at(-1)?.promptIds ?? [])]).toEqual(encode('Hello'));
  });

  it('has no template, no reasoning and no calls, but stop strings', async () => {
    setup.device.script = says('<think>a</think><tool_call> b STOP c');
    expect((await complete({ prompt: 'x', stop: 'STOP', max_tokens: 100 })).text).toEqual([
      '<think>a</think><tool_call> b ',
    ]);
  });

  it('is 16 tokens long unless told otherwise', async () => {
    setup.device.script = () => Array.from({ length: 40 }, () => 72);
    const { finish, usage } = await complete({ prompt: 'x' });
    expect([finish, usage.completion_tokens]).toEqual([['length'], 16]);
  });

  it.each([
    [{ prompt: 'x', suffix: 'y' }, 'unsupported_parameter', 'suffix'],
    [{ prompt: 'x', echo: true, logprobs: 1 }, 'unsupported_parameter', 'echo'],
    [{ prompt: [5, 640] }, 'invalid_request', 'prompt'],
    [{ prompt: '' }, 'invalid_request', 'prompt'],
    [{ prompt: Array.from({ length: 512 }, () => 5) }, 'context_length_exceeded', 'prompt'],
  ])('is refused before any work of the device: %j', async (rest, code, param) => {
    const nBefore = setup.device.specs.length;
    await expect(complete(rest)).rejects.toMatchObject({ code, param });
    expect(setup.device.specs).toHaveLength(nBefore);
  });
});

describe('embeddings', () => {
  it('are the hidden state of each last token, at length 1', async () => {
    setup.device.specs.length = 0;
    const { vectors, promptTokens } = await embed({ input: [encode('six tokens in here').slice(0, 6), [1, 2]] });
    expect(vectors.map((vector) => [...vector].map((value) => Math.round(value * 13)))).toEqual([
      [3, 4, 0, 12],
      [3, 4, 0, 12],
    ]);
    expect(promptTokens).toBe(8);
    expect(
      setup.device.specs.map(({ promptIds, output, caller }) => [promptIds.length, output, caller.client]),
    ).toEqual([
      [6, 'hidden', 'somebody'],
      [2, 'hidden', 'somebody'],
    ]);
  });

  it('are not cut for a model that was not trained for it', async () => {
    await expect(embed({ input: 'x', dimensions: 2 })).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param: 'dimensions',
    });
  });

  it('refuse a text beyond the context', async () => {
    const input = Array.from({ length: 513 }, () => 5);
    await expect(embed({ input })).rejects.toMatchObject({
      code: 'context_length_exceeded',
      facts: { limit: 512, got: 513 },
    });
    await expect(embed({ input: input.slice(1) })).resolves.toMatchObject({ promptTokens: 512 });
  });
});
