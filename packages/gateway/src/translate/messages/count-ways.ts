/**
 * How engines other than neurons count the tokens of a prompt, beside vLLM's `/tokenize`, which is a neuron's too:
 * Anthropic's own call (another cortex, newer llama-servers), and llama-server's two, template and then text. A picture
 * is only a marker in a rendered template, so that this last way is not taken for prompts with one.
 */
import type { TokenizeRequest } from '@cortex/core';
import type { CountWay, JsonObject } from '../contract.ts';

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null;

const anthropicWay = (body: JsonObject): CountWay => ({
  steps: [() => ({ path: '/v1/messages/count_tokens', body })],
  read: (answer) => {
    const count = isObject(answer) ? answer['input_tokens'] : null;
    return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : null;
  },
});

const llamaServerWay = (request: TokenizeRequest): CountWay => ({
  steps: [
    () => ({ path: '/apply-template', body: request }),
    (before) => {
      const prompt = isObject(before) ? before['prompt'] : null;
      // The template leaves the opening token to the tokenizer.
      const options = { add_special: true, parse_special: true };
      return typeof prompt === 'string' ? { path: '/tokenize', body: { content: prompt, ...options } } : null;
    },
  ],
  read: (answer) => {
    const tokens = isObject(answer) ? answer['tokens'] : null;
    return Array.isArray(tokens) ? tokens.length : null;
  },
});

const hasPicture = ({ messages }: TokenizeRequest): boolean =>
  (messages ?? []).some(({ content }) => Array.isArray(content) && content.some((part) => part.type === 'image_url'));

/**
 * @param body the client's own
 * @param request the same as a neuron is asked it
 */
export const countWays = (body: JsonObject, request: TokenizeRequest): readonly CountWay[] => [
  anthropicWay(body),
  ...(hasPicture(request) ? [] : [llamaServerWay(request)]),
];
