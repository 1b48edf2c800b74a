/**
 * The prefixes that one model keeps (see `design.md`): rooms for new sequences come from here, and go back here. Owns
 * all parked cells, host copies and saved states; each state is held by the prefixes that it is in, and freed with the
 * last of them.
 */
import type { DeviceModel, HostCells, ModelSequence, ParkedCells, SavedState } from '../../model/device-model.ts';
import { prefixBoundaries } from './boundaries.ts';
import { chooseDrops } from './choose-drops.ts';
import { choosePrefix, type ChosenPrefix, type PrefixChoice } from './choose-prefix.ts';
import type { PrefixText } from './prefix-text.ts';

export interface PrefixCacheOptions {
  /** Host memory for states and for cells that had to leave the device; null: nothing is kept at all. */
  readonly hostBytesMax: number | null;
  readonly isControl: (id: number) => boolean;
}

interface StatePoint {
  readonly state: SavedState;
  usedAt: number;
}

type Cells =
  | { readonly kind: 'parked'; readonly cells: ParkedCells }
  | { readonly kind: 'host'; readonly cells: HostCells };

interface KeptPrefix {
  readonly text: PrefixText;
  readonly nPrompt: number;
  cells: Cells;
  states: readonly StatePoint[];
  usedAt: number;
}

/** A sequence with room on the device, its past so far and where its states are to be saved. */
export interface RunningPrefix {
  readonly text: PrefixText;
  readonly nPrompt: number;
  readonly room: ModelSequence;
  states: readonly StatePoint[];
  /** Ascending. */
  boundaries: readonly number[];
  /** Tokens of the prompt that were not computed for it. */
  nCached: number;
}

interface Candidate extends PrefixChoice {
  readonly of: KeptPrefix | RunningPrefix;
}

/** More are too many to compare each prompt with. */
const prefixesMax = 256;
/** A better past found late is worth a copy from so many tokens on. */
const gainMin = 32;
/** An answer shorter than this is computed again rather than saved. */
const answerTokensMin = 16;

const lastOf = (states: readonly StatePoint[]): number => states.at(-1)?.state.nTokens ?? 0;

export class PrefixCache implements Disposable {
  readonly #model: DeviceModel;
  readonly #options: PrefixCacheOptions;
  readonly #kept = new Set<KeptPrefix>();
  readonly #running = new Set<RunningPrefix>();
  #tick = 0;

  constructor(model: DeviceModel, options: PrefixCacheOptions) {
    this.#model = model;
    this.#options = options;
  }

  /** Bytes that it holds on the host. */
  get hostBytes(): number {
    const cells = [...this.#kept].map((prefix) => (prefix.cells.kind === 'host' ? prefix.cells.cells.nBytes : 0));
    const states = [...this.#states()].map(({ state }) => state.nBytes);
    return [...cells, ...states].reduce((sum, n) => sum + n, 0);
  }

  get nKept(): number {
    return this.#kept.size;
  }

  /** Room for a prompt, its first tokens computed already where they are known; null when there is no room now. */
  open(text: PrefixText, nTokensMax: number): RunningPrefix | null {
    const nPrompt = text.length;
    const best = this.#best(text, nPrompt);
    if (best !== null) this.#touch(best);
    const taken = best === null ? null : this.#takeOver(best, nTokensMax);
    const room = taken ?? this.#makeRoom(nTokensMax, best);
    if (room === null) return null;
    const running: RunningPrefix = { text, nPrompt, room, states: [], boundaries: [], nCached: 0 };
    this.#running.add(running);
    try {
      // Cells that were taken over hold the past; else it may have moved to make room, so it is looked for again.
      if (taken !== null && best !== null) this.#resume(running, best, null);
      else this.#resumeFromBest(running);
    } catch (error) {
      this.close(running, false);
      throw error;
    }
    this.#planBoundaries(running);
    return running;
  }

  /** Room for a prompt that is computed from its start, whatever is known. */
  openAlone(text: PrefixText, nTokensMax: number): RunningPrefix | null {
    const room = this.#makeRoom(nTokensMax, null);
    if (room === null) return null;
    const running: RunningPrefix = { text, nPrompt: text.length, room, states: [], boundaries: [], nCached: 0 };
    this.#running.add(running);
    return running;
  }

  /** Room without a past, for a sequence that leaves none. */
  openBlank(nTokensMax: number): ModelSequence | null {
    return this.#makeRoom(nTokensMax, null);
  }

  /** Before its first step: others may have computed more of its prompt since it got its room. */
  begin(running: RunningPrefix): void {
    const best = this.#best(running.text, running.nPrompt, running);
    if (best === null || best.nTokens < running.nCached + gainMin) return;
    this.#release(running);
    this.#resumeFromBest(running);
    this.#planBoundaries(running);
  }

  /** Tokens of the prompt up to where its next state is saved. */
  nUntilBoundary({ boundaries, room }: RunningPrefix): number {
    return (boundaries.find((at) => at > room.nPast) ?? Infinity) - room.nPast;
  }

  /** After a chunk of its prompt. */
  computed(running: RunningPrefix): void {
    if (running.boundaries.includes(running.room.nPast)) this.#saveState(running);
  }

  /** Takes back its room. `isWhole`: what it computed is right and may be kept. */
  close(running: RunningPrefix, isWhole: boolean): void {
    if (!this.#running.has(running)) return;
    const { room, text, nPrompt } = running;
    const { nPast } = room;
    const isKept = isWhole && this.#options.hostBytesMax !== null && nPast > 0;
    if (isKept && this.#model.kept.stateBytes > 0 && nPast - lastOf(running.states) >= answerTokensMin) {
      this.#saveState(running);
    }
    this.#running.delete(running);
    const isUseful = isKept && (this.#model.kept.stateBytes === 0 || running.states.length > 0);
    if (isUseful) {
      const cells: Cells = { kind: 'parked', cells: this.#model.kept.park(room) };
      this.#kept.add({ text, nPrompt: Math.min(nPrompt, nPast), cells, states: running.states, usedAt: this.#next() });
      this.#limit();
    } else {
      room[Symbol.dispose]();
      this.#release(running);
    }
  }

  [Symbol.dispose](): void {
    for (const prefix of this.#kept) this.#drop(prefix);
  }

  #next(): number {
    this.#tick += 1;
    return this.#tick;
  }

  #best(text: PrefixText, nPrompt: number, self?: RunningPrefix): ChosenPrefix<Candidate> | null {
    if (this.#options.hostBytesMax === null) return null;
    const candidates: Candidate[] = [];
    for (const prefix of this.#kept) {
      const { kind, cells } = prefix.cells;
      candidates.push(candidateOf(prefix, text, cells.nTokens, kind));
    }
    for (const running of this.#running) {
      if (running !== self) candidates.push(candidateOf(running, text, running.room.nPast, 'running'));
    }
    return choosePrefix(candidates, nPrompt, this.#model.kept.stateBytes > 0);
  }

  /** The best prefix's own cells, where the prompt goes on from it and has room behind it, or can be given some. */
  #takeOver({ prefix, isContinued }: ChosenPrefix<Candidate>, nTokensMax: number): ModelSequence | null {
    const { of } = prefix;
    if (!isContinued || !('cells' in of) || of.cells.kind !== 'parked') return null;
    const { kept } = this.#model;
    const { cells } = of.cells;
    const reopened = kept.reopen(cells, nTokensMax);
    // With room elsewhere a copy costs less than what others have computed.
    if (reopened !== null || kept.victims(nTokensMax, [])?.length === 0) return reopened;
    const others = this.#parked(of);
    const victims = kept.victims(nTokensMax, parkedOf(others), cells);
    if (victims === null) return null;
    this.#evictAll(others, victims);
    return kept.reopen(cells, nTokensMax);
  }

  /** Room in free cells, or in those of prefixes that are given up for it: `best` last of all. */
  #makeRoom(nTokensMax: number, best: ChosenPrefix<Candidate> | null): ModelSequence | null {
    const free = this.#model.open(nTokensMax);
    if (free !== null) return free;
    const others = this.#parked(best?.prefix.of);
    const all = [...others, ...this.#parked().filter((prefix) => prefix === best?.prefix.of)];
    for (const candidates of [others, all]) {
      const victims = this.#model.kept.victims(nTokensMax, parkedOf(candidates));
      if (victims === null) continue;
      this.#evictAll(candidates, victims);
      return this.#model.open(nTokensMax);
    }
    return null;
  }

  /** The least recently used first. */
  #parked(except?: KeptPrefix | RunningPrefix): readonly KeptPrefix[] {
    const parked = [...this.#kept].filter((prefix) => prefix.cells.kind === 'parked' && prefix !== except);
    return parked.toSorted((a, b) => a.usedAt - b.usedAt);
  }

  #evictAll(prefixes: readonly KeptPrefix[], victims: readonly ParkedCells[]): void {
    for (const prefix of prefixes) {
      if (prefix.cells.kind === 'parked' && victims.includes(prefix.cells.cells)) this.#evict(prefix);
    }
  }

  /** Used now: whatever is given up for its sake is something else. */
  #touch({ prefix: { of }, nTokens }: ChosenPrefix<Candidate>): void {
    const usedAt = this.#next();
    for (const point of of.states) if (point.state.nTokens === nTokens) point.usedAt = usedAt;
    if ('cells' in of) of.usedAt = usedAt;
  }

  #resumeFromBest(running: RunningPrefix): void {
    const best = this.#best(running.text, running.nPrompt, running);
    if (best === null) return;
    this.#touch(best);
    const { of } = best.prefix;
    this.#resume(running, best, 'cells' in of ? of.cells.cells : of.room);
  }

  /** `cells` null: they were taken over, and the prefix ends. */
  #resume(
    running: RunningPrefix,
    { prefix: { of }, nTokens }: ChosenPrefix<Candidate>,
    cells: ModelSequence | ParkedCells | HostCells | null,
  ): void {
    const point = of.states.find(({ state }) => state.nTokens === nTokens) ?? null;
    this.#model.kept.resume(running.room, { nTokens, cells, state: point?.state ?? null });
    running.nCached = nTokens;
    running.states = of.states.filter(({ state }) => state.nTokens <= nTokens);
    if (!('cells' in of) || cells !== null) return;
    this.#kept.delete(of);
    this.#release(of);
  }

  #planBoundaries(running: RunningPrefix): void {
    if (this.#model.kept.stateBytes === 0 || this.#options.hostBytesMax === null) return;
    const ids = running.text.ids.subarray(0, running.nPrompt);
    running.boundaries = prefixBoundaries(ids, { from: running.nCached, isControl: this.#options.isControl });
  }

  /** Its state now, unless another prefix has it already. */
  #saveState(running: RunningPrefix): void {
    const { nPast } = running.room;
    const known = this.#stateAt(running.text, nPast);
    if (known !== null) {
      known.usedAt = this.#next();
      running.states = [...running.states, known];
      return;
    }
    const usedAt = this.#next();
    if (!this.#makeHostRoom({ nBytes: this.#model.kept.stateBytes, usedAt })) return;
    const state = this.#model.kept.saveState(running.room);
    if (state !== null) running.states = [...running.states, { state, usedAt }];
  }

  #stateAt(text: PrefixText, nTokens: number): StatePoint | null {
    for (const holder of this.#holders()) {
      const point = holder.states.find(({ state }) => state.nTokens === nTokens);
      if (point !== undefined && holder.text.commonLength(text) >= nTokens) return point;
    }
    return null;
  }

  /** Its cells leave the device: to the host, where there is room for them. */
  #evict(prefix: KeptPrefix): void {
    if (prefix.cells.kind !== 'parked') return;
    const parked = prefix.cells.cells;
    const { usedAt } = prefix;
    if (!this.#makeHostRoom({ nBytes: this.#model.kept.hostBytes(parked.nTokens), usedAt })) {
      this.#drop(prefix);
    } else if (this.#kept.has(prefix)) {
      const cells = this.#model.kept.toHost(parked);
      if (cells === null) return this.#drop(prefix);
      prefix.cells = { kind: 'host', cells };
      parked[Symbol.dispose]();
    }
  }

  #makeHostRoom(incoming: { readonly nBytes: number; readonly usedAt: number }): boolean {
    const items = [
      ...[...this.#kept].flatMap((prefix) =>
        prefix.cells.kind === 'host' ? [{ nBytes: prefix.cells.cells.nBytes, usedAt: prefix.usedAt, prefix }] : [],
      ),
      ...[...this.#states()].map((point) => ({ nBytes: point.state.nBytes, usedAt: point.usedAt, point })),
    ];
    const drops = chooseDrops(items, incoming, this.#options.hostBytesMax ?? 0);
    if (drops === null) return false;
    for (const drop of drops) {
      if ('prefix' in drop) this.#drop(drop.prefix);
      else this.#dropState(drop.point);
    }
    return true;
  }

  #dropState(point: StatePoint): void {
    const others = (states: readonly StatePoint[]): readonly StatePoint[] => states.filter((other) => other !== point);
    for (const holder of this.#holders()) holder.states = others(holder.states);
    point.state[Symbol.dispose]();
    // Without a state nothing can go on from it.
    for (const prefix of this.#kept) if (prefix.states.length === 0) this.#drop(prefix);
  }

  #drop(prefix: KeptPrefix): void {
    if (!this.#kept.delete(prefix)) return;
    prefix.cells.cells[Symbol.dispose]();
    this.#release(prefix);
  }

  /** Lets go of its states; those that nobody else holds are freed. */
  #release(holder: { states: readonly StatePoint[] }): void {
    const { states } = holder;
    holder.states = [];
    const held = this.#states();
    for (const point of states) if (!held.has(point)) point.state[Symbol.dispose]();
  }

  #limit(): void {
    const [oldest] = [...this.#kept].toSorted((a, b) => a.usedAt - b.usedAt);
    if (this.#kept.size > prefixesMax && oldest !== undefined) this.#drop(oldest);
  }

  #holders(): readonly (KeptPrefix | RunningPrefix)[] {
    return [...this.#kept, ...this.#running];
  }

  #states(): Set<StatePoint> {
    return new Set(this.#holders().flatMap(({ states }) => states));
  }
}

const candidateOf = (
  of: KeptPrefix | RunningPrefix,
  text: PrefixText,
  nHeld: number,
  place: PrefixChoice['place'],
): Candidate => ({
  of,
  nCommon: Math.min(of.text.commonLength(text), nHeld),
  nPrompt: of.nPrompt,
  states: of.states.map(({ state }) => state.nTokens),
  place,
});

const parkedOf = (prefixes: readonly KeptPrefix[]): readonly ParkedCells[] =>
  prefixes.flatMap(({ cells }) => (cells.kind === 'parked' ? [cells.cells] : []));
