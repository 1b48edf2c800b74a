/** Random answers of a node, cut into random pieces, and random conversations that could have led to them. */
import * as fc from 'fast-check';
import type { ScriptedAnswer } from './chat-answers.ts';

const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
const pieces = fc.array(word, { maxLength: 4 });

const cutAt = (text: string, cuts: readonly number[]): string[] => {
  const places = [...new Set(cuts.map((cut) => Math.floor(cut * text.length)))].toSorted((a, b) => a - b);
  return [0, ...places].map((from, i) => text.slice(from, places[i] ?? text.length)).filter((piece) => piece !== '');
};

const fraction = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

const jsonObject = fc
  .dictionary(
    fc.string({ maxLength: 6 }).filter((key) => key !== '__proto__'),
    fc.jsonValue({ maxDepth: 2 }),
    { maxKeys: 3 },
  )
  // As it reads back: -0 and the like are gone.
  .map((value) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>);

const call = fc
  .tuple(fc.uuid(), fc.stringMatching(/^[a-z]{1,8}$/), jsonObject, fc.array(fraction, { maxLength: 4 }))
  .map(([id, name, input, cuts]) => ({ id, name, pieces: cutAt(JSON.stringify(input), cuts) }));

/** An answer that ends well, though it may say nothing. */
export const answers: fc.Arbitrary<ScriptedAnswer> = fc.record({
  reasoning: pieces,
  text: pieces,
  calls: fc.uniqueArray(call, { maxLength: 3, selector: ({ id }) => id }),
});

export interface Turn {
  readonly said: string;
  readonly image: boolean;
  readonly answer: { readonly text: string; readonly reasoning: string; readonly calls: readonly TurnCall[] };
}

export interface TurnCall {
  readonly id: string;
  readonly name: string;
  readonly input: Record<string, unknown>;
  readonly result: string;
  readonly resultImage: boolean;
}

const turnCall = fc.record({
  id: fc.uuid(),
  name: fc.stringMatching(/^[a-z]{1,8}$/),
  input: jsonObject,
  result: word,
  resultImage: fc.boolean(),
});

const turn: fc.Arbitrary<Turn> = fc.record({
  said: word,
  image: fc.boolean(),
  answer: fc
    .record({
      text: fc.oneof(fc.constant(''), word),
      reasoning: fc.oneof(fc.constant(''), word),
      calls: fc.array(turnCall, { maxLength: 2 }),
    })
    .filter(({ text, calls }) => text !== '' || calls.length > 0),
});

export const conversations = fc.record({ system: word, turns: fc.array(turn, { minLength: 1, maxLength: 3 }) });
