import type { ChatMessage } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { foldLateSystem, joinLeadingSystem } from './system-turns.ts';

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
  it('become user turns in their place, so that what comes before them is the same prompt as ever', () => {
    const before = [system('A'), user('u')];
    const after = [...before, system('late'), user('v')];
    expect(foldLateSystem(after)).toEqual([...before, user('late'), user('v')]);
    expect(foldLateSystem(after).slice(0, 2)).toEqual(foldLateSystem(before));
  });

  it('come also where there is none at the front', () => {
    expect(foldLateSystem([user('u'), system('late')])).toEqual([user('u'), user('late')]);
  });
});
