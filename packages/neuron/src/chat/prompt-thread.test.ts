import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { PromptThread } from './prompt-thread.ts';
import type { TemplateInput } from './template.ts';

const dir = fileURLToPath(new URL('../../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url));

const inputOf = (content: string): TemplateInput => ({
  messages: [{ role: 'user', content }],
  tools: [],
  addGenerationPrompt: true,
  kwargs: {},
});

let thread: PromptThread;
let scratch: string;
beforeAll(async () => {
  thread = await PromptThread.load({ dir });
  scratch = await mkdtemp(join(tmpdir(), 'prompt-thread-'));
});
afterAll(async () => {
  await thread.close();
  await rm(scratch, { recursive: true });
});

/** A model whose template does not end for the message `hang`. */
const hangingModel = async (): Promise<string> => {
  await writeFile(join(scratch, 'tokenizer.json'), await readFile(join(dir, 'tokenizer.json')));
  const hang = '{% for a in range(1000) %}{% for b in range(100) %}{% endfor %}{% endfor %}';
  await writeFile(join(scratch, 'chat_template.jinja'), `{% if messages[0].content == 'hang' %}${hang}{% endif %}fine`);
  return scratch;
};

describe('PromptThread', () => {
  it('gives what the same calls give on this thread, and the vocabulary without a copy', async () => {
    const tokenizer = await Tokenizer.load(dir);
    const text = 'Hello <|im_end|> world';
    for (const parseSpecial of [true, false]) {
      const ids = await thread.encode(text, { parseSpecial });
      expect([...ids]).toEqual(tokenizer.encode(text, { parseSpecial }));
    }
    const prompt = await thread.build(inputOf('Hi'));
    expect(prompt).toMatchObject({ text: '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n', nImages: 0 });
    expect(thread.vocabulary.decode(prompt.ids, { skipSpecial: false })).toBe(prompt.text);
    expect(thread.vocabulary.data.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(thread.template).toMatchObject({ toolCallFormat: 'xml', thinking: true });
  });

  it('answers every call, in order, however many come at once', async () => {
    const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
    const ids = await Promise.all(texts.map((text) => thread.encode(text, { parseSpecial: true })));
    expect(ids.map((each) => thread.vocabulary.decode(each, { skipSpecial: true }))).toEqual(texts);
  });

  it('leaves this thread free while it works', async () => {
    const started = performance.now();
    let longest = 0;
    let last = started;
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    // Words that do not repeat, so that no cache helps.
    const words = Array.from({ length: 15_000 }, (_, i) => (i * 2_654_435_761).toString(36)).join(' ');
    await thread.encode(words, { parseSpecial: false });
    clearInterval(timer);
    expect(performance.now() - started).toBeGreaterThan(50);
    expect(longest).toBeLessThan((performance.now() - started) / 2);
  });

  it('passes errors on as they are', async () => {
    const kwargs = { messages: [] };
    await expect(thread.build({ ...inputOf('x'), kwargs })).rejects.toMatchObject({
      name: 'CortexError',
      code: 'invalid_request',
      param: 'chat_template_kwargs.messages',
    });
  });

  it('refuses a text over its limit without sending it', async () => {
    const text = 'x'.repeat(9 * 2 ** 20);
    await expect(thread.encode(text, { parseSpecial: true })).rejects.toMatchObject({ code: 'request_too_large' });
  });

  it('drops a waiting call whose client has left', async () => {
    const leaving = new AbortController();
    const first = thread.encode('first', { parseSpecial: true });
    const second = thread.encode('second', { parseSpecial: true }, leaving.signal);
    leaving.abort();
    await expect(second).rejects.toMatchObject({ code: 'client_closed_request' });
    await expect(first).resolves.toBeInstanceOf(Int32Array);
  });

  it('fails the load, not the process, for a model it cannot use', async () => {
    await expect(PromptThread.load({ dir: join(scratch, 'nowhere') })).rejects.toMatchObject({
      name: 'CortexError',
      code: 'model_load_failed',
    });
  });
});

describe('a prompt thread in trouble', () => {
  it('ends a call that takes too long, and goes on with those behind it on a fresh thread', async () => {
    const troubled = await PromptThread.load({ dir: await hangingModel(), jobMsMax: 300 });
    const [hung, next] = await Promise.allSettled([troubled.build(inputOf('hang')), troubled.build(inputOf('go on'))]);
    expect(hung).toMatchObject({ status: 'rejected', reason: { code: 'request_too_large' } });
    expect(next).toMatchObject({ status: 'fulfilled', value: { text: 'fine' } });
    await troubled.close();
  });

  it('answers overloaded once its queue is full, and to everyone waiting when it is closed', async () => {
    const busy = await PromptThread.load({ dir, queueMax: 2 });
    const calls = Array.from({ length: 5 }, () => busy.build(inputOf('x')));
    const refused = Promise.allSettled(calls);
    await busy.close();
    const outcomes = await refused;
    const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(reasons.length).toBeGreaterThanOrEqual(4);
    expect(reasons.map(({ code }) => code)).toEqual(reasons.map(() => 'overloaded'));
    await expect(busy.build(inputOf('x'))).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('refuses a request nested deeper than threads can pass, and serves the next', async () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    await expect(thread.build({ ...inputOf('x'), kwargs: { deep } })).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await expect(thread.build(inputOf('x'))).resolves.toMatchObject({ nImages: 0 });
  });
});
