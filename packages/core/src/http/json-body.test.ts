import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CortexError } from '../errors.ts';
import { BodyBudget } from './body-budget.ts';
import { readJsonBody, type JsonBody } from './json-body.ts';

const bytesMax = 1024 * 1024;

interface Sending {
  readonly body: PassThrough;
  readonly read: Promise<JsonBody>;
}

const send = (budget: BodyBudget, declared: number, more: Record<string, string> = {}): Sending => {
  const body = Object.assign(new PassThrough(), { headers: { 'content-length': String(declared), ...more } });
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

const readPacked = (bytes: Buffer, coding: string): Promise<JsonBody> => {
  const { body, read } = send(new BodyBudget(bytesMax), bytes.length, { 'content-encoding': coding });
  body.end(bytes);
  return read;
};

describe('a body', () => {
  it.each([
    ['gzip', gzipSync],
    ['GZIP', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('may be compressed: %s', async (coding, pack) => {
    const { bytes, object } = await readPacked(pack('{"a":"ü"}'), coding);
    expect(object).toEqual({ a: 'ü' });
    expect(bytes.toString()).toBe('{"a":"ü"}');
  });

  it('is as large as what was compressed', async () => {
    const small = gzipSync(Buffer.alloc(64 * bytesMax, ' '));
    expect(small.length).toBeLessThan(bytesMax / 8);
    expect(await codeOf(readPacked(small, 'gzip'))).toBe('request_too_large');
    expect(await codeOf(readPacked(gzipSync(Buffer.alloc(bytesMax - 7, ' ') + '{"a":1}'), 'gzip'))).toBe('read');
  });

  it('that is not what its content-encoding says, or says something else, is refused', async () => {
    const packed = gzipSync(`{"a":"${'x'.repeat(1000)}"}`);
    for (const bytes of [Buffer.from('{"a":1}'), packed.subarray(0, -9), packed.subarray(0, 12)])
      await expect(readPacked(bytes, 'gzip')).rejects.toThrow(/not what its content-encoding says/);
    await expect(readPacked(packed, 'zstd')).rejects.toThrow(/zstd/);
    await expect(readPacked(packed, 'constructor')).rejects.toThrow(/are not taken/);
  });

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
