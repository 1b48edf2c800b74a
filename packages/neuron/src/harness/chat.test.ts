import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  chat,
  chatRequest,
  collect,
  encode,
  ids,
  newContext,
  picture,
  says,
  setUp,
  userTurn,
} from '../../test/harness-setup.ts';
import type { HarnessSetup } from '../../test/harness-setup.ts';

let setup: HarnessSetup;
beforeAll(async () => {
  setup = await setUp({ parallel: 4 });
  await setup.harness.load({ model_id: ids.vision });
});
afterEach(() => {
  setup.device.script = says('');
  setup.device.nCachedTokens = 0;
  setup.device.nDrafted = 0;
  setup.device.nDraftedRight = 0;
});
afterAll(() => setup[Symbol.asyncDispose]());

const tool = {
  type: 'function',
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};
const call = '<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>';
const lastSpec = () => setup.device.specs.at(-1)!;

/** The error; the device was asked for nothing. */
const refused = async (rest: Record<string, unknown>): Promise<unknown> => {
  const nBefore = setup.device.specs.length;
  const error: unknown = await chat(setup, rest).catch((thrown: unknown) => thrown);
  expect(setup.device.specs).toHaveLength(nBefore);
  return error;
};

describe('a chat answer', () => {
  it('is accepted with its prompt counted, streamed as text, finished, and ends in its usage', async () => {
    setup.device.script = says('Hello — world €');
    setup.device.nCachedTokens = 3;
    const { events, text, finish, usage } = await chat(setup);
    const nPrompt = encode('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n').length;
    expect(events[0]).toEqual({ kind: 'accepted', promptTokens: nPrompt });
    expect(text).toEqual(['Hello — world €']);
    expect(finish).toEqual(['stop']);
    const nAnswer = encode('Hello — world €').length;
    expect(usage).toEqual({
      prompt_tokens: nPrompt,
      completion_tokens: nAnswer,
      total_tokens: nPrompt + nAnswer,
      prompt_tokens_details: { cached_tokens: 3, image_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
  });

  it('tells how many tokens were guessed ahead, and how many of them it came to say', async () => {
    setup.device.script = says('Hello');
    Object.assign(setup.device, { nDrafted: 9, nDraftedRight: 7 });
    const { usage } = await chat(setup);
    expect(usage.completion_tokens_details).toEqual({
      reasoning_tokens: 0,
      accepted_prediction_tokens: 7,
      rejected_prediction_tokens: 2,
    });
  });

  it('splits off the reasoning and counts its tokens', async () => {
    setup.device.script = says('Let me think.\n</think>\n\nFour.');
    const kwargs = { chat_template_kwargs: { enable_thinking: true } };
    const { text, reasoning, usage } = await chat(setup, kwargs);
    expect(reasoning).toEqual(['Let me think.']);
    expect(text).toEqual(['Four.']);
    const nThought = usage.completion_tokens_details?.reasoning_tokens ?? 0;
    expect(nThought).toBeGreaterThan(3);
    expect(nThought).toBeLessThan(usage.completion_tokens);
  });

  it('gives the tool calls out of the text', async () => {
    setup.device.script = says(`Looking.\n${call}`);
    const { text, calls, finish } = await chat(setup, { tools: [tool] });
    expect(text).toEqual(['Looking.']);
    expect(calls.map(({ name }) => name)).toEqual(['weather']);
    expect(JSON.parse(calls[0]?.arguments ?? '')).toEqual({ city: 'Rome' });
    expect(finish).toEqual(['tool_calls']);
  });

  it('ends behind the first call when parallel calls are not wanted, and tells the device', async () => {
    setup.device.script = says(`${call}\n${call}`);
    setup.device.stops.length = 0;
    const { calls, finish } = await chat(setup, { tools: [tool], parallel_tool_calls: false });
    expect(calls).toHaveLength(1);
    expect(finish).toEqual(['tool_calls']);
    expect(setup.device.stops).toEqual([0]);
  });

  it('ends at a stop string, and tells the device', async () => {
    setup.device.script = says('one, two, three, four');
    setup.device.stops.length = 0;
    const { text, finish, usage } = await chat(setup, { stop: [', th'] });
    expect(text).toEqual(['one, two']);
    expect(finish).toEqual(['stop']);
    expect(setup.device.stops).toEqual([0]);
    expect(usage.completion_tokens).toBeLessThan(encode('one, two, three, four').length);
  });

  it('says that it was cut off at the token limit', async () => {
    setup.device.script = says('one, two, three, four');
    const { finish, usage } = await chat(setup, { max_tokens: 3 });
    expect(finish).toEqual(['length']);
    expect(usage.completion_tokens).toBe(3);
  });

  it('is given n times, each its own, with seeds one apart and the prompt counted once', async () => {
    setup.device.script = (_spec, choice) => encode(`answer ${choice}`);
    const { text, finish, usage } = await chat(setup, { n: 3, seed: 41 });
    expect(text).toEqual(['answer 0', 'answer 1', 'answer 2']);
    expect(finish).toEqual(['stop', 'stop', 'stop']);
    expect(lastSpec().choices.map(({ sampling }) => sampling.seed)).toEqual([41, 42, 43]);
    expect(usage.prompt_tokens).toBe(lastSpec().promptIds.length);
  });

  it('carries the log-probabilities of its tokens, ahead of the text they belong to', async () => {
    setup.device.script = says('Hi');
    const { events } = await chat(setup, { logprobs: true, top_logprobs: 2 });
    const first = events.findIndex(({ kind }) => kind === 'logprobs');
    expect(first).toBeLessThan(events.findIndex(({ kind }) => kind === 'text'));
    const tokens = events.flatMap((event) => (event.kind === 'logprobs' ? event.tokens : []));
    expect(Buffer.from(tokens.flatMap(({ bytes }) => [...(bytes ?? [])])).toString()).toBe('Hi');
    expect(tokens[0]).toMatchObject({ logprob: -0.5, top_logprobs: [{ logprob: -0.5 }, { logprob: -1.5 }] });
  });
});

describe('what a chat request asks of the device', () => {
  it('is sampled by the request, else by the checkpoint, else by default', async () => {
    await chat(setup);
    expect(lastSpec().choices[0]?.sampling).toMatchObject({ temperature: 0, topP: 1, topK: 0, seed: null });
    await chat(setup, { temperature: 0.7, top_k: 5, min_p: 0.1, presence_penalty: 1, logit_bias: { 7: -100 } });
    expect(lastSpec().choices[0]?.sampling).toMatchObject({
      temperature: 0.7,
      topK: 5,
      minP: 0.1,
      presencePenalty: 1,
      logitBias: [[7, -100]],
    });
  });

  it('takes the rest of the context by default, never more, and max_completion_tokens before max_tokens', async () => {
    await chat(setup);
    const rest = 512 - lastSpec().promptIds.length;
    expect(lastSpec().tokensMax).toBe(rest);
    await chat(setup, { max_tokens: 100_000 });
    expect(lastSpec().tokensMax).toBe(rest);
    await chat(setup, { max_tokens: 9, max_completion_tokens: 5 });
    expect(lastSpec().tokensMax).toBe(5);
  });

  it('has its images measured, expanded in the prompt, placed and prepared', async () => {
    const { usage } = await chat(setup, { messages: [userTurn('What is ', { image: picture }, '?')] });
    const { vision, promptIds } = lastSpec();
    const nPads = promptIds.filter((id) => id === 632).length;
    expect(vision?.images).toHaveLength(1);
    expect(nPads).toBe(vision?.images[0]?.nTokens);
    expect(nPads).toBeGreaterThan(1);
    expect(vision?.positions.t).toHaveLength(promptIds.length);
    expect(usage.prompt_tokens_details?.image_tokens).toBe(nPads);
    expect(usage.prompt_tokens).toBe(promptIds.length);
  });

  it('is constrained from the end of the thinking on, at once where there is none', async () => {
    const format = { response_format: { type: 'json_object' } };
    await chat(setup, { ...format, chat_template_kwargs: { enable_thinking: true } });
    expect(lastSpec().constraint?.startAfter).toEqual([639]);
    await chat(setup, { ...format, chat_template_kwargs: { enable_thinking: false } });
    expect(lastSpec().constraint?.startAfter).toBeNull();
    await chat(setup);
    expect(lastSpec().constraint).toBeNull();
  });

  it.each([
    [{ thinking_budget_tokens: 5 }, true, 5],
    [{ thinking_token_budget: 0 }, true, 0],
    [{ thinking_budget_tokens: -1 }, true, undefined],
    [{ thinking_budget_tokens: 5 }, false, undefined],
    [{}, true, undefined],
  ])('thinks no longer than it may: %j, thinking %s', async (asked, thinks, tokensMax) => {
    await chat(setup, { ...asked, chat_template_kwargs: { enable_thinking: thinks } });
    const spec = { tokensMax, opening: null, endings: [[639], [634]] };
    expect(lastSpec().thinking).toEqual(tokensMax === undefined ? undefined : spec);
  });

  it('is constrained to a call that is demanded, and to nothing while the model may choose', async () => {
    const format = { response_format: { type: 'json_object' }, tools: [tool] };
    await chat(setup, format);
    expect(lastSpec().constraint).toBeNull();
    await chat(setup, { ...format, tool_choice: 'required' });
    const required = lastSpec().constraint?.key;
    await chat(setup, { ...format, tool_choice: { type: 'function', function: { name: 'weather' } } });
    expect(lastSpec().constraint?.key).not.toBe(required);
    await chat(setup, { ...format, tool_choice: 'none' });
    expect(lastSpec().constraint?.key).not.toBe(required);
    expect(lastSpec().constraint).not.toBeNull();
  });

  it('never samples the placeholders of images', () => {
    expect(setup.device.loads[0]?.bannedIds).toEqual([629, 630, 631, 632, 633]);
  });
});

describe('a chat request that cannot be right', () => {
  it('is told by how much its prompt is too long, and one token less is taken', async () => {
    const words = 'a '.repeat(2000);
    setup.device.script = says('x');
    let [fits, tooLong] = [0, words.length];
    // The longest content that leaves room for one token.
    while (tooLong - fits > 1) {
      const middle = (fits + tooLong) >> 1;
      const content = words.slice(0, middle);
      const ok = await chat(setup, { messages: [{ role: 'user', content }] }).then(
        () => true,
        () => false,
      );
      if (ok) fits = middle;
      else tooLong = middle;
    }
    await chat(setup, { messages: [{ role: 'user', content: words.slice(0, fits) }] });
    expect(lastSpec().promptIds).toHaveLength(511);
    expect(lastSpec().tokensMax).toBe(1);
    expect(await refused({ messages: [{ role: 'user', content: words.slice(0, tooLong) }] })).toMatchObject({
      code: 'context_length_exceeded',
      facts: { limit: 512, got: 512 },
    });
  });

  it.each([
    [{ functions: [{ name: 'f' }] }, 'unsupported_parameter', 'functions'],
    [{ modalities: ['text', 'audio'] }, 'unsupported_parameter', 'modalities'],
    [{ guided_json: {} }, 'unsupported_parameter', 'guided_json'],
    [{ top_logprobs: 3 }, 'invalid_request', 'top_logprobs'],
    [{ logit_bias: { 640: 1 } }, 'invalid_request', 'logit_bias'],
    [{ tool_choice: 'required' }, 'invalid_request', 'tool_choice'],
    [{ tools: [tool], tool_choice: { type: 'function', function: { name: 'no' } } }, 'invalid_request', 'tool_choice'],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'nothing' } } } },
      'invalid_request',
      'response_format',
    ],
    [{ messages: [userTurn({ image: 'data:image/png;base64,AAAA' })] }, 'invalid_image', undefined],
    [{ model: 'tinny' }, 'model_not_found', undefined],
    [{ model: '../tiny' }, 'invalid_request', 'model'],
    [{ model: ids.unknown }, 'model_load_failed', undefined],
  ])('is refused before any work of the device: %j', async (rest, code, param) => {
    expect(await refused(rest)).toMatchObject({ code, param });
  });

  it('is told which model here sees when it has pictures for one that does not, which is not loaded for it', async () => {
    const nLoads = setup.device.loads.length;
    const request = { model: ids.text, messages: [userTurn({ image: picture })] };
    expect(await refused(request)).toMatchObject({
      code: 'vision_unsupported',
      facts: { model_id: ids.text, suggestion: ids.vision },
    });
    expect(setup.device.loads).toHaveLength(nLoads);
  });

  it('is refused with pictures also where only the loaded model shows that it cannot see', async () => {
    setup.device.hasVision = false;
    await setup.harness.unload({ model_id: ids.vision });
    const request = { messages: [userTurn({ image: picture })] };
    expect(await refused(request)).toMatchObject({ code: 'vision_unsupported', facts: { model_id: ids.vision } });
    setup.device.hasVision = true;
    await setup.harness.unload({ model_id: ids.vision });
  });

  it('ignores what is harmless', async () => {
    setup.device.script = says('fine');
    const rest = { store: true, metadata: {}, service_tier: 'auto', modalities: ['text'], ignore_eos: false };
    expect((await collect(setup.harness.chat(chatRequest(rest), newContext()))).text).toEqual(['fine']);
  });
});
