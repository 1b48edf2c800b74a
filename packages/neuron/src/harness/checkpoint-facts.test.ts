import { describe, expect, it } from 'vitest';
import { fixtureJson } from '../../test/reference-files.ts';
import { factsOf, readCheckpointFacts } from './checkpoint-facts.ts';

const config = fixtureJson<Record<string, unknown>>('models/qwen3_5-vl-tiny/config.json');
const supported = ['qwen3_5'];

describe('what a checkpoint tells of itself', () => {
  it('is its context, its tower, and what its template can do', () => {
    const facts = factsOf(config, '{% if tools %}<tool_call>{% endif %}<think>', supported);
    expect(facts).toMatchObject({ contextMax: 4096, hasVision: true, toolCall: true, reasoning: true, refusal: null });
    expect(factsOf(config, null, supported)).toMatchObject({ toolCall: false, reasoning: false });
  });

  it('counts the cache of the layers that have one', () => {
    // 2 of 6 layers attend to all tokens: keys and values of 2 heads of 64, 2 bytes each.
    expect(factsOf(config, null, supported).kvBytesPerToken).toBe(2 * 2 * 2 * 64 * 2);
    const flat = { model_type: 'qwen3_5', num_hidden_layers: 4, num_attention_heads: 8, hidden_size: 64 };
    expect(factsOf(flat, null, supported).kvBytesPerToken).toBe(4 * 2 * 8 * 8 * 2);
  });

  it('is a refusal where the engine has no such model or cannot read its weights', () => {
    expect(factsOf(config, null, ['other']).refusal).toContain('qwen3_5');
    const quantised = { ...config, quantization_config: { quant_method: 'gptq' } };
    expect(factsOf(quantised, null, supported).refusal).toContain('gptq');
  });

  it.each([
    null,
    [],
    'text',
    {},
    { model_type: 5 },
    { model_type: 'qwen3_5', text_config: 7 },
    { ...config, text_config: { max_position_embeddings: -1 } },
  ])('is a refusal, not a crash, for %j', (nonsense) => {
    expect(factsOf(nonsense, null, supported).refusal).toContain('config.json');
  });

  it('is a refusal for a folder without files', async () => {
    expect((await readCheckpointFacts('/nowhere', supported)).refusal).toContain('config.json');
  });
});
