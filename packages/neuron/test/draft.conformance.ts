/**
 * What every architecture must do with tokens that are only guessed: whatever part of them is kept, the sequence goes on
 * as if nothing else had been computed.
 */
import { expect, it } from 'vitest';
import type { DeviceModel, ModelSequence } from '../src/model/device-model.ts';

const distance = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Infinity))), 0)
    : Infinity;

const opened = (model: DeviceModel, nTokensMax = 256): ModelSequence => {
  const sequence = model.open(nTokensMax);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

/** `ids` are what follows in truth, at least 40; `start` computes what comes before them. */
export const itTakesDraftsBack = (
  model: () => DeviceModel,
  ids: () => Int32Array,
  start: (sequence: ModelSequence) => void,
  tolerance: number,
): void => {
  const wrong = 599;
  /** Logits behind each of the ids, one step at a time. */
  const straight = (): Float32Array[] => {
    using sequence = opened(model());
    start(sequence);
    return Array.from(ids(), (id) => model().decode([{ sequence, id }]).slice());
  };

  it('gives each drafted token the logits that it has alone', () => {
    using sequence = opened(model());
    start(sequence);
    const nPast = sequence.nPast;
    const wanted = straight();
    const logits = model().draft(sequence, ids().slice(0, 7));
    expect(sequence.nPast).toBe(nPast);
    for (let i = 0; i < 7; i++) {
      const row = logits.slice(i * model().nLogits, (i + 1) * model().nLogits);
      expect(distance(row, wanted[i]!)).toBeLessThan(tolerance);
    }
  });

  it('goes on from as much of a draft as is kept, time and again', () => {
    using sequence = opened(model());
    start(sequence);
    const wanted = straight();
    const nPast = sequence.nPast;
    let at = 0;
    // How many of 5 are right: none beyond the first, some, all; with a plain step between some of them.
    for (const [nRight, isPlain] of [
      [5, false],
      [1, false],
      [3, false],
      [2, true],
      [5, true],
      [4, false],
    ] as const) {
      const drafted = Int32Array.from({ length: 5 }, (_, i) => (i < nRight ? ids()[at + i]! : wrong));
      model().draft(sequence, drafted);
      for (let n = 1; n <= nRight; n++) model().keep(sequence, n);
      at += nRight;
      expect(sequence.nPast).toBe(nPast + at);
      if (!isPlain) continue;
      expect(distance(model().decode([{ sequence, id: ids()[at]! }]), wanted[at]!)).toBeLessThan(tolerance);
      at += 1;
    }
    expect(distance(model().decode([{ sequence, id: ids()[at]! }]), wanted[at]!)).toBeLessThan(tolerance);
  });

  it('goes on from parts of many drafts, one after the other', () => {
    using sequence = opened(model());
    start(sequence);
    const wanted = straight();
    for (let at = 0; at < 36; at += 3) {
      const logits = model().draft(sequence, Int32Array.of(...ids().slice(at, at + 3), wrong, wrong));
      expect(distance(logits.slice(2 * model().nLogits, 3 * model().nLogits), wanted[at + 2]!)).toBeLessThan(tolerance);
      model().keep(sequence, 3);
    }
  });

  it('joins a batch, and is saved and copied, as if its drafts had never been', () => {
    using sequence = opened(model());
    using other = opened(model());
    start(sequence);
    start(other);
    const wanted = straight();
    model().draft(sequence, Int32Array.of(ids()[0]!, ids()[1]!, wrong));
    model().keep(sequence, 2);
    using state = model().kept.stateBytes === 0 ? null : model().kept.saveState(sequence);
    using copy = opened(model());
    model().kept.resume(copy, { nTokens: sequence.nPast, cells: sequence, state });
    model().draft(sequence, Int32Array.of(ids()[2]!, wrong));
    model().keep(sequence, 1);
    const both = model().decode([
      { sequence: other, id: ids()[0]! },
      { sequence, id: ids()[3]! },
    ]);
    expect(distance(both.slice(0, model().nLogits), wanted[0]!)).toBeLessThan(tolerance);
    expect(distance(both.slice(model().nLogits), wanted[3]!)).toBeLessThan(tolerance);
    expect(distance(model().decode([{ sequence: copy, id: ids()[2]! }]), wanted[2]!)).toBeLessThan(tolerance);
  });

  it('leaves slots as they were for those that come after', () => {
    const wanted = straight();
    for (let round = 0; round < 3; round++) {
      using sequence = opened(model());
      start(sequence);
      model().draft(sequence, ids().slice(0, 4));
      model().keep(sequence, 4);
      expect(distance(model().decode([{ sequence, id: ids()[4]! }]), wanted[4]!)).toBeLessThan(tolerance);
    }
  });

  it('keeps no more than was drafted, nor what another sequence drafted', () => {
    using sequence = opened(model());
    using other = opened(model());
    start(sequence);
    model().draft(sequence, ids().slice(0, 4));
    expect(() => model().keep(other, 1)).toThrow('nothing was drafted for this sequence');
    expect(() => model().keep(sequence, 5)).toThrow('5 of a draft cannot be kept');
    model().keep(sequence, 2);
    expect(() => model().keep(sequence, 1)).toThrow('1 of a draft cannot be kept');
  });
};
