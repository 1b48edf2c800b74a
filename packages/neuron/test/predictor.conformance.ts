/**
 * What every model with a predictor must do: its guesses follow from the tokens, whatever way these were computed, and
 * what is drafted from guesses is what would have been said without.
 */
import { expect, it } from 'vitest';
import type { DeviceModel, ModelSequence } from '../src/model/device-model.ts';
import { argmax } from '../src/sampling/argmax.ts';

const opened = (model: DeviceModel): ModelSequence => {
  const sequence = model.open(256);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

/** `ids` are at least 40; `start` computes what comes before them. */
export const itGuesses = (
  model: () => DeviceModel,
  ids: () => Int32Array,
  start: (sequence: ModelSequence) => void,
): void => {
  const n = 4;
  const guessed = (sequence: ModelSequence, id: number): number[] => [...model().guess(sequence, id, n)];
  /** Behind each of the first 12 ids, computed one by one. */
  const wanted = (): number[][] => {
    using sequence = opened(model());
    start(sequence);
    return Array.from(ids().slice(0, 12), (id) => {
      const guess = guessed(sequence, id);
      model().decode([{ sequence, id }]);
      return guess;
    });
  };

  it('guesses the same behind tokens computed at once or one by one, alone or with others', () => {
    using sequence = opened(model());
    using other = opened(model());
    start(sequence);
    start(other);
    const behind = wanted();
    expect(new Set(behind.flat()).size).toBeGreaterThan(4);
    expect(guessed(sequence, ids()[0]!)).toEqual(behind[0]);
    model().forward(sequence, ids().slice(0, 3), sequence.nPast, 'none');
    expect(guessed(sequence, ids()[3]!)).toEqual(behind[3]);
    model().forward(sequence, ids().slice(3, 4), sequence.nPast, 'last');
    for (const at of [0, 1]) {
      model().decode([
        { sequence: other, id: ids()[at]! },
        { sequence, id: ids()[4 + at]! },
      ]);
    }
    expect(guessed(sequence, ids()[6]!)).toEqual(behind[6]);
    expect(guessed(other, ids()[2]!)).toEqual(behind[2]);
  });

  it('guesses the same behind drafts of which some was kept', () => {
    using sequence = opened(model());
    start(sequence);
    const behind = wanted();
    const wrong = 599;
    let at = 0;
    for (const nRight of [2, 1, 3, 5]) {
      const drafted = Int32Array.from({ length: 5 }, (_, i) => (i < nRight ? ids()[at + i]! : wrong));
      model().draft(sequence, drafted);
      model().keep(sequence, 1);
      model().keep(sequence, nRight);
      at += nRight;
      expect(guessed(sequence, ids()[at]!)).toEqual(behind[at]);
    }
  });

  it('says what it would have said without, drafted from its guesses', () => {
    const first = ids()[0]!;
    const plain: number[] = [first];
    using straight = opened(model());
    start(straight);
    while (plain.length < 30)
      plain.push(argmax(model().decode([{ sequence: straight, id: plain.at(-1)! }]), model().nLogits));
    using ahead = opened(model());
    start(ahead);
    const said: number[] = [first];
    while (said.length < 30) {
      const guess = model().guess(ahead, said.at(-1)!, 3);
      const logits = model().draft(ahead, Int32Array.of(said.at(-1)!, ...guess));
      for (let row = 0; row <= guess.length; row++) {
        model().keep(ahead, row + 1);
        said.push(argmax(logits.subarray(row * model().nLogits), model().nLogits));
        if (said.at(-1) !== guess[row]) break;
      }
    }
    expect(said.slice(0, 30)).toEqual(plain);
  });

  it('guesses nothing before it has computed anything, nor beyond its room', () => {
    using blank = opened(model());
    expect(guessed(blank, 1)).toEqual([]);
    using sequence = opened(model());
    start(sequence);
    const { nPast } = sequence;
    using narrow = model().open(nPast + 2)!;
    start(narrow);
    expect(guessed(narrow, ids()[0]!)).toHaveLength(2);
  });

  it('guesses the same behind a past that another has computed', () => {
    using sequence = opened(model());
    start(sequence);
    const behind = wanted();
    const { nPast } = sequence;
    using state = model().kept.saveState(sequence);
    using copy = opened(model());
    model().kept.resume(copy, { nTokens: nPast, cells: sequence, state });
    expect(guessed(copy, ids()[0]!)).toEqual(behind[0]);
    model().decode([{ sequence: copy, id: ids()[0]! }]);
    expect(guessed(copy, ids()[1]!)).toEqual(behind[1]);
  });
};
