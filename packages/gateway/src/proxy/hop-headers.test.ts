import { describe, expect, it } from 'vitest';
import { forwardHeaders, type ForwardIdentity } from './hop-headers.ts';

const identity = (clientId: string, priority = 0): ForwardIdentity => ({
  via: 'cortex-1',
  requestId: 'req-1',
  token: null,
  caller: { clientId, priority },
});

describe('what a node is told of who asks', () => {
  it('tells clients apart without naming them', () => {
    const [one, again, other] = ['alice', 'alice', 'bob'].map((id) => forwardHeaders({}, identity(id)));
    expect(one?.['x-cortex-client']).toMatch(/^[0-9a-f]{32}$/);
    expect(again?.['x-cortex-client']).toBe(one?.['x-cortex-client']);
    expect(other?.['x-cortex-client']).not.toBe(one?.['x-cortex-client']);
    expect(JSON.stringify(one)).not.toContain('alice');
  });

  it('is never what the client itself says', () => {
    const said = { 'x-cortex-client': 'bob', 'x-cortex-priority': '999', 'x-mine': 'kept' };
    const headers = forwardHeaders(said, identity('alice', 2));
    expect(headers['x-cortex-priority']).toBe('2');
    expect(headers['x-cortex-client']).not.toBe('bob');
    expect(headers['x-mine']).toBe('kept');
  });
});
