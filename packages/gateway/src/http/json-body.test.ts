import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from './body-budget.ts';
import { readJsonBody, type JsonBody } from './json-body.ts';

const bytesMax = 1024 * 1024;

interface Sending {
  readonly body: PassThrough;
  readonly read: Promise<JsonBody>;
}

const send = (budget: BodyBudget, declared: number): Sending => {
  const body = Object.assign(new PassThrough(), { headers: { 'content-length': String(declared) } });
  const read = readJsonBody(body as unknown as IncomingMessage, bytesMax, (bytes) => budget.take(bytes));
  read.catch(() => undefined);
  return { body, read };
};

const codeOf = (read: Promise<unknown>): Promise<string> =>
  read.then(
    () => 'read',
    (thrown: unknown) => CortexError.from(thrown).code,
  );

const nested = (levels: number): string => `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`;

const readWhole = (text: string): Promise<JsonBody> => {
  const { body, read } = send(new BodyBudget(bytesMax), text.length);
  body.end(text);
  return read;
};

describe('a body', () => {
  it('takes of the budget what has come of it, not what it announces', async () => {
    const budget = new BodyBudget(bytesMax);
    for (let i = 0; i < 20; i += 1) send(budget, bytesMax).body.write('{');
    const { body, read } = send(budget, 7);
    body.end('{"a":1}');
    expect((await read).object).toEqual({ a: 1 });
    expect(budget.bytesHeld).toBe(27);
  });

  it('is refused where all together become too large', async () => {
    const budget = new BodyBudget(bytesMax);
    const first = send(budget, bytesMax);
    first.body.end(`{"a":"${'x'.repeat(bytesMax - 8)}"}`);
    await first.read;
    const { body, read } = send(budget, 7);
    body.end('{"a":1}');
    expect(await codeOf(read)).toBe('overloaded');
  });

  it('that nests beyond reason is refused before it is parsed', async () => {
    expect(await codeOf(readWhole(nested(511)))).toBe('read');
    expect(await codeOf(readWhole(nested(512)))).toBe('invalid_request');
    expect(await codeOf(readWhole(nested(500_000)))).toBe('invalid_request');
  });
});
