import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chatRequestSchema, neuronConfigSchema, type NodeModel } from '@cortex/core';
import { collect, newContext } from '../../test/harness-setup.ts';
import { quietEngine } from '../../test/quiet-engine.ts';
import { dataUri, fixtureBytes, fixtureJson, fixtureTensors } from '../../test/reference-files.ts';
import type { Engine } from '../main.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';

const root = fileURLToPath(new URL('../../../../fixtures/models', import.meta.url));
const model = 'qwen3_5-vl-tiny';
const tokenizer = await Tokenizer.load(`${root}/${model}`);

interface Case {
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
  readonly images: readonly string[];
}

/** The case's messages as a client sends them, its images in place. */
const requestOf = ({ messages, images }: Case, nTokens: number): unknown => {
  const uris = images.map((name) => dataUri(fixtureBytes(`images/${name}`))).values();
  const sent = messages.map(({ role, content }) => ({
    role,
    content: Array.isArray(content)
      ? content.map((part: { readonly type: string }) =>
          part.type === 'image' ? { type: 'image_url', image_url: { url: uris.next().value } } : part,
        )
      : content,
  }));
  return { model, messages: sent, max_tokens: nTokens };
};

let engine: Engine;
beforeAll(async () => {
  const config = neuronConfigSchema.parse({ harness: { ggml: { parallel: 2, threads: 2 } } });
  engine = await quietEngine(root, config.harness.ggml);
});
afterAll(() => engine.harness.close(0));

/** A greeting, answered with thinking. */
const askThinking = async (more: object): Promise<Awaited<ReturnType<typeof collect>>> => {
  const body = {
    model,
    messages: [{ role: 'user', content: 'Hi' }],
    chat_template_kwargs: { enable_thinking: true },
  };
  const request = chatRequestSchema.parse({ ...body, temperature: 0, max_tokens: 24, ...more });
  return collect(engine.harness.chat(request, newContext()));
};

describe('the ggml engine', () => {
  it('names its library, its backends and its devices', () => {
    expect(engine.ggml.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(engine.backends).toContain('CPU');
    expect(engine.harness.devices.map(({ index }) => index)).toEqual(engine.harness.devices.map((_, i) => i));
    expect(engine.harness.devices.length).toBeGreaterThan(0);
  });

  it('knows what a model needs before it is loaded, and is right', async () => {
    const listed = async (): Promise<NodeModel | undefined> => {
      const models = await engine.harness.models();
      return models.find(({ id }) => id === model);
    };
    // Guessed of its files it is 25: graphs are not in that.
    while (((await listed())?.vram_needed_mb ?? 0) < 30) await delay(20);
    const before = await listed();
    await engine.harness.load({ model_id: model });
    const after = await listed();
    expect(before).toMatchObject({ status: 'available', servable: { ok: true } });
    expect(after?.status).toBe('loaded');
    expect(after?.limit).toEqual(before?.limit);
    // A load takes a cache for both sequences, the list says what one needs.
    const [needed, used] = [before?.vram_needed_mb ?? 0, after?.vram_used_mb ?? 0];
    expect(needed).toBeLessThanOrEqual(used);
    expect(needed).toBeGreaterThan(used / 2);
  });

  it.each(['short', 'system', 'two-turns', 'one-image', 'two-images', 'adjacent-images'])(
    'continues the conversation %s as the reference does',
    async (name) => {
      const reference = fixtureJson<Case>(`cases/${model}/${name}.json`);
      const { values } = fixtureTensors(`cases/${model}/${name}.safetensors`).get('continuation') ?? { values: [] };
      const request = chatRequestSchema.parse(requestOf(reference, values.length));
      const { text, usage } = await collect(engine.harness.chat(request, newContext()));
      expect(text).toEqual([tokenizer.decode(values, { skipSpecial: true })]);
      expect(usage.completion_tokens).toBe(values.length);
    },
  );

  it('thinks as long as it may, and then answers', async () => {
    const free = await askThinking({});
    // Alone, it would think to the end.
    expect(free.text).toEqual([]);
    for (const budget of [0, 5]) {
      const { reasoning, text, usage } = await askThinking({ thinking_budget_tokens: budget });
      expect(free.reasoning[0]?.startsWith(reasoning[0] ?? '')).toBe(true);
      expect(usage.completion_tokens_details?.reasoning_tokens).toBe(budget);
      expect(text[0]).toMatch(/./);
    }
  });
});
