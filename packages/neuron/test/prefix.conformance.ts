/**
 * What every architecture must do with the past of a closed sequence: wherever it comes back from (its own cells,
 * another sequence's, the host) the logits behind it are those of a run without a break.
 */
import { expect, it } from 'vitest';
import type {
  DeviceModel,
  HostCells,
  KeptPrefixes,
  ModelSequence,
  ParkedCells,
  SavedState,
} from '../src/model/device-model.ts';

export interface PrefixCase {
  /** The whole text; images may be in it. */
  readonly ids: Int32Array;
  /** Logits of the last token. */
  forward(sequence: ModelSequence, from: number, to: number): Float32Array;
}

const opened = (model: DeviceModel, nTokensMax = 256): ModelSequence => {
  const sequence = model.open(nTokensMax);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Infinity))), 0);

const saved = (model: DeviceModel, sequence: ModelSequence): SavedState | null =>
  model.kept.stateBytes === 0 ? null : model.kept.saveState(sequence);

const finished = (...resources: readonly (Disposable | null)[]): void => {
  for (const resource of resources) resource?.[Symbol.dispose]();
};

/** A sequence computed up to `at`, its state there saved, then computed on to the end. */
const pastOf = (
  model: DeviceModel,
  { ids, forward }: PrefixCase,
  at: number,
): { readonly sequence: ModelSequence; readonly state: SavedState | null } => {
  const sequence = opened(model);
  forward(sequence, 0, at);
  const state = saved(model, sequence);
  forward(sequence, at, ids.length);
  return { sequence, state };
};

export const itKeepsPrefixes = (model: () => DeviceModel, of: () => PrefixCase, tolerance: number): void => {
  const at = 37;
  const straight = (): Float32Array => {
    using sequence = opened(model());
    return of().forward(sequence, 0, of().ids.length).slice(-model().nLogits);
  };
  const goesOn = (sequence: ModelSequence): void => {
    expect(sequence.nPast).toBe(at);
    const { forward, ids } = of();
    expect(distance(forward(sequence, at, ids.length).slice(-model().nLogits), straight())).toBeLessThan(tolerance);
  };

  it('goes on from the cells of a closed sequence, where they are', () => {
    const { sequence, state } = pastOf(model(), of(), at);
    const cells = model().kept.park(sequence);
    expect(cells.nTokens).toBe(of().ids.length);
    using again = model().kept.reopen(cells, 256)!;
    model().kept.resume(again, { nTokens: at, cells: null, state });
    goesOn(again);
    finished(state);
    expect(() => cells.nTokens && model().kept.toHost(cells)).toThrow('has been freed');
  });

  it.each(['running', 'parked', 'on the host'] as const)('goes on from a copy of a sequence that is %s', (kind) => {
    const { sequence, state } = pastOf(model(), of(), at);
    const parked = kind === 'running' ? null : model().kept.park(sequence);
    const onHost = kind === 'on the host' && parked !== null ? model().kept.toHost(parked) : null;
    if (onHost !== null) {
      finished(parked);
      // Others in the cells that it had.
      using other = opened(model());
      of().forward(other, 0, 5);
    }
    const cells: ModelSequence | ParkedCells | HostCells = onHost ?? parked ?? sequence;
    using first = opened(model());
    using second = opened(model());
    for (const copy of [first, second]) {
      model().kept.resume(copy, { nTokens: at, cells, state });
      goesOn(copy);
    }
    finished(state, onHost, parked, sequence);
  });

  it('leaves the sequence that was copied as it is', () => {
    const { sequence, state } = pastOf(model(), of(), at);
    using copy = opened(model());
    model().kept.resume(copy, { nTokens: at, cells: sequence, state });
    model().decode([{ sequence: copy, id: 3 }]);
    const logits = model()
      .decode([{ sequence, id: 9 }])
      .slice();
    using alone = opened(model());
    of().forward(alone, 0, of().ids.length);
    expect(distance(logits, model().decode([{ sequence: alone, id: 9 }]))).toBeLessThan(tolerance);
    finished(state, sequence);
  });

  it('forks while it answers: both go on alike', () => {
    using sequence = opened(model());
    of().forward(sequence, 0, of().ids.length);
    model().decode([{ sequence, id: 5 }]);
    using state = saved(model(), sequence);
    using fork = opened(model());
    model().kept.resume(fork, { nTokens: sequence.nPast, cells: sequence, state });
    const both = model().decode([
      { sequence, id: 7 },
      { sequence: fork, id: 7 },
    ]);
    expect(distance(both.slice(0, model().nLogits), both.slice(model().nLogits))).toBeLessThan(tolerance);
  });

  it('gives back all it kept, and refuses a past that is not there', () => {
    using sequence = opened(model());
    of().forward(sequence, 0, at);
    const state = saved(model(), sequence);
    using other = opened(model(), 16);
    const past = { cells: sequence, state } as const;
    expect(() => model().kept.resume(other, { ...past, nTokens: at })).toThrow('37 tokens in a sequence of 16');
    using third = opened(model());
    const refused = (more: Partial<Parameters<KeptPrefixes['resume']>[1]>) => (): void =>
      model().kept.resume(third, { ...past, nTokens: at, ...more });
    const [why, misfit] =
      state === null
        ? (['38 tokens of a past of 37', { nTokens: at + 1 }] as const)
        : (['a state of 37 tokens', { nTokens: at - 1 }] as const);
    expect(refused(misfit)).toThrow(why);
    expect(refused(state === null ? misfit : { state: null })).toThrow(state === null ? why : 'a state of no tokens');
    expect(() => model().kept.resume(sequence, { ...past, nTokens: at })).toThrow('37 tokens already');
    finished(state);
  });
};
