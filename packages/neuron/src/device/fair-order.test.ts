import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterServing, nextInLine, urgentFirst, type InLine } from './fair-order.ts';

const one = (client: string, priority = 0, waitedMs = 0): InLine => ({ caller: { client, priority }, waitedMs });
const running = (...clients: readonly string[]) => clients.map((client) => ({ client, priority: 0 }));

describe('nextInLine', () => {
  it('is the oldest among equals, and nobody where nobody waits', () => {
    expect(nextInLine([], [])).toBe(-1);
    expect(nextInLine([one('a'), one('b')], [])).toBe(0);
  });

  it('is of the client with the fewest sequences running, however many the others queue', () => {
    expect(nextInLine([one('a'), one('a'), one('b')], running('a', 'a'))).toBe(2);
    expect(nextInLine([one('a'), one('b')], running('a', 'b', 'b'))).toBe(0);
  });

  it('is of the highest priority, until another has waited long enough', () => {
    expect(nextInLine([one('a', 0, 9000), one('b', 1)], [])).toBe(1);
    expect(nextInLine([one('a', 0, 21_000), one('b', 1, 1000)], [])).toBe(0);
  });

  it('serves clients that all have much to do equally', () => {
    const clients = ['a', 'b', 'c'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...clients), { minLength: 30, maxLength: 60 }), (asked) => {
        const waiting = [...asked, ...clients.flatMap((client) => Array.from({ length: 10 }, () => client))].map(
          (client) => one(client),
        );
        const served: string[] = [];
        for (let turn = 0; turn < 9; turn++) {
          const [next] = waiting.splice(nextInLine(waiting, running(...served)), 1);
          served.push(next!.caller.client);
        }
        for (const client of clients) expect(served.filter((each) => each === client)).toHaveLength(3);
      }),
    );
  });
});

describe('afterServing', () => {
  it('puts the one just served behind the others', () => {
    const items = ['a1', 'a2', 'b1', 'c1', 'a3'].map((name) => ({ name, caller: { client: name[0]!, priority: 0 } }));
    expect(afterServing(items, 'a').map(({ name }) => name)).toEqual(['b1', 'c1', 'a1', 'a2', 'a3']);
    expect(afterServing(items, 'z')).toEqual(items);
  });
});

describe('urgentFirst', () => {
  it('puts higher priorities first, equal ones in their order, and old ones up', () => {
    const items = [one('a', 0, 500), one('b', 1), one('c', 0), one('d', 1), one('e', 0, 20_000)];
    expect(urgentFirst(items).map(({ caller }) => caller.client)).toEqual(['e', 'b', 'd', 'a', 'c']);
  });
});
