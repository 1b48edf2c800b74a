import type { ChatMessage } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { foldLateSystem, joinLeadingSystem, refusesLateSystem } from './system-turns.ts';

const system = (content: string): ChatMessage => ({ role: 'system', content });
const user = (content: string): ChatMessage => ({ role: 'user', content });
const picture: ChatMessage = { role: 'system', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] };

describe('system turns at the front', () => {
  it('become one, parted by a blank line, in string or parts', () => {
    expect(joinLeadingSystem([system('A'), { role: 'developer', content: 'B' }, user('u'), system('C')])).toEqual([
      system('A\n\nB'),
      user('u'),
      system('C'),
    ]);
    expect(joinLeadingSystem([system('A'), picture])).toEqual([
      {
        role: 'system',
        content: [
          { type: 'text', text: 'A' },
          { type: 'text', text: '\n\n' },
          { type: 'image_url', image_url: { url: 'data:,' } },
        ],
      },
    ]);
  });

  it('that are none, or one, stay as they are', () => {
    expect(joinLeadingSystem([user('u'), system('late')])).toEqual([user('u'), system('late')]);
    expect(joinLeadingSystem([system('A')])).toEqual([system('A')]);
    expect(joinLeadingSystem([])).toEqual([]);
  });
});

describe('later system turns, folded', () => {
  const answer: ChatMessage = { role: 'assistant', content: 'a' };
  const before = [system('A'), user('u'), answer];

  it('are said by the user in their place, and what comes before them is the same prompt as ever', () => {
    expect(foldLateSystem([...before, system('late'), answer])).toEqual([...before, user('late'), answer]);
    expect(foldLateSystem([user('u'), answer, system('late')])).toEqual([user('u'), answer, user('late')]);
    expect(foldLateSystem(before)).toEqual(before);
  });

  it('become one with the user beside them, so that roles alternate', () => {
    expect(foldLateSystem([...before, user('v'), system('late'), system('later'), user('w')])).toEqual([
      ...before,
      user('v\n\nlate\n\nlater\n\nw'),
    ]);
    expect(foldLateSystem([user('u'), user('v')])).toEqual([user('u'), user('v')]);
  });
});

describe('a refusal', () => {
  it.each([
    ['System message must be at the beginning.', true],
    ['Conversation roles must alternate user/assistant/user/assistant/...', true],
    ['System role not supported', true],
    ["This model's maximum context length is 4096 tokens.", false],
  ])('%s: %s', (message, expected) => {
    expect(refusesLateSystem(message)).toBe(expected);
  });
});
