import { describe, expect, it } from 'vitest';
import type { TemplateMessage } from './messages.ts';
import { fitMessages } from './messages-fit.ts';

const system = (content: TemplateMessage['content']): TemplateMessage => ({ role: 'system', content });
const user = (content: TemplateMessage['content']): TemplateMessage => ({ role: 'user', content });

const text = (value: string) => ({ type: 'text', text: value }) as const;

const able = { lateSystemTurns: true, contentParts: true };
const firstOnly = { lateSystemTurns: false, contentParts: true };

describe('fitMessages', () => {
  it('leaves a conversation alone where the template takes it', () => {
    const messages = [system('a'), user('b'), system('c'), user([{ type: 'text', text: 'd' }])];
    expect(fitMessages(messages, able)).toBe(messages);
    const ordinary = [system('a'), user('b')];
    expect(fitMessages(ordinary, firstOnly)).toBe(ordinary);
  });

  it('gathers late system turns at the front, in order, word for word', () => {
    expect(fitMessages([system(' a\n'), user('b'), system('c'), user('d'), system('e')], firstOnly)).toEqual([
      system(' a\n\n\nc\n\ne'),
      user('b'),
      user('d'),
    ]);
    expect(fitMessages([user('b'), system('late')], firstOnly)).toEqual([system('late'), user('b')]);
  });

  it('keeps the parts of system turns it gathers', () => {
    expect(fitMessages([system([text('a'), text('b')]), user('x'), system('c')], firstOnly)).toEqual([
      system([text('a'), text('b'), text('\n\n'), text('c')]),
      user('x'),
    ]);
  });

  it('refuses to move images', () => {
    expect(() => fitMessages([user('x'), system([{ type: 'image' }])], firstOnly)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'messages[1]' }),
    );
  });

  it('joins texts by newlines for a template that wants strings, and refuses it images', () => {
    const strings = { lateSystemTurns: true, contentParts: false };
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ] as const;
    expect(fitMessages([user(parts), user('c')], strings)).toEqual([user('a\nb'), user('c')]);
    expect(() => fitMessages([user('a'), user([{ type: 'image' }])], strings)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'messages[1].content' }),
    );
  });
});
