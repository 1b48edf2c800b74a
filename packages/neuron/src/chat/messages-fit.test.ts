import { describe, expect, it } from 'vitest';
import type { TemplateMessage } from './messages.ts';
import { fitMessages } from './messages-fit.ts';

const system = (content: TemplateMessage['content']): TemplateMessage => ({ role: 'system', content });
const user = (content: TemplateMessage['content']): TemplateMessage => ({ role: 'user', content });
const assistant = (content: TemplateMessage['content']): TemplateMessage => ({ role: 'assistant', content });

const text = (value: string) => ({ type: 'text', text: value }) as const;

const able = { lateSystemTurns: true, userTurnsInARow: true, contentParts: true };
const firstOnly = { ...able, lateSystemTurns: false };
const alternating = { ...firstOnly, userTurnsInARow: false };

describe('fitMessages', () => {
  it('leaves a conversation alone where the template takes it', () => {
    const messages = [system('a'), user('b'), system('c'), user([{ type: 'text', text: 'd' }])];
    expect(fitMessages(messages, able)).toBe(messages);
    const ordinary = [system('a'), user('b')];
    expect(fitMessages(ordinary, firstOnly)).toEqual(ordinary);
  });

  it('has later system turns said by the user where they stand, word for word', () => {
    expect(fitMessages([system(' a\n'), user('b'), system('c'), user('d'), system('e')], firstOnly)).toEqual([
      system(' a\n'),
      user('b'),
      user('c'),
      user('d'),
      user('e'),
    ]);
    expect(fitMessages([user('b'), system('late')], firstOnly)).toEqual([user('b'), user('late')]);
  });

  it('joins the system turns that a conversation opens with, parts and images in order', () => {
    expect(fitMessages([system(' a'), system('b\n'), user('x'), system('c')], firstOnly)).toEqual([
      system(' a\n\nb\n'),
      user('x'),
      user('c'),
    ]);
    expect(fitMessages([system([text('a'), { type: 'image' }]), system('c'), user('x')], firstOnly)).toEqual([
      system([text('a'), { type: 'image' }, text('\n\n'), text('c')]),
      user('x'),
    ]);
    expect(fitMessages([system('a'), system('b')], firstOnly)).toEqual([system('a\n\nb')]);
  });

  it.each([firstOnly, alternating])('begins a longer conversation as it did the shorter one: %j', (tolerance) => {
    const turns = [system('a'), system('b'), user('c'), system('d'), assistant('e'), system('f'), assistant('g')];
    const whole = fitMessages(turns, tolerance);
    for (const length of [3, 4, 5, 6]) {
      const start = fitMessages(turns.slice(0, length), tolerance);
      const last = start.length - 1;
      expect(whole.slice(0, last)).toEqual(start.slice(0, last));
      expect(whole[last]).toMatchObject({
        content: expect.stringMatching(new RegExp(`^${start[last]?.content as string}`)),
      });
    }
  });

  it('joins them with the turns beside them where the user cannot speak twice', () => {
    const turns = [user('a'), system([text('b')]), user('c'), assistant('d'), system('e'), system('f'), user('g')];
    expect(fitMessages(turns, alternating)).toEqual([
      user([text('a'), text('\n\n'), text('b'), text('\n\n'), text('c')]),
      assistant('d'),
      user('e\n\nf\n\ng'),
    ]);
  });

  it('joins them with the tool result before them where the user cannot speak twice', () => {
    const result: TemplateMessage = { role: 'tool', content: 'r', tool_call_id: '1' };
    expect(fitMessages([user('a'), assistant(''), result, system('b'), assistant('c')], alternating)).toEqual([
      user('a'),
      assistant(''),
      { ...result, content: 'r\n\nb' },
      assistant('c'),
    ]);
  });

  it('leaves turns that the client itself wrote twice for the template to judge', () => {
    const turns = [user('a'), user('b'), assistant('c'), system('d'), assistant('e'), user('f'), user('g')];
    expect(fitMessages(turns, alternating)).toEqual(turns.map((turn) => (turn.role === 'system' ? user('d') : turn)));
  });

  it('joins texts by newlines for a template that wants strings, and refuses it images', () => {
    const strings = { ...able, contentParts: false };
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
