import type { FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import { callerOf } from './caller.ts';

const from = (headers: Readonly<Record<string, string>>) =>
  callerOf({ headers, ip: '10.0.0.7' } as unknown as FastifyRequest);

describe('who asks', () => {
  it('is whom the gateway names, with the priority it says', () => {
    expect(from({ 'x-cortex-client': 'ab12', 'x-cortex-priority': '-3' })).toEqual({ client: 'ab12', priority: -3 });
  });

  it('is an address where nobody is named, or named as nobody can be', () => {
    expect(from({})).toEqual({ client: '10.0.0.7', priority: 0 });
    expect(from({ 'x-cortex-client': 'a b', 'x-cortex-priority': 'high' })).toEqual({
      client: '10.0.0.7',
      priority: 0,
    });
    expect(from({ 'x-cortex-client': 'x'.repeat(129) }).client).toBe('10.0.0.7');
  });

  it('has a priority within bounds', () => {
    expect(from({ 'x-cortex-priority': '1e9' }).priority).toBe(1000);
  });
});
