/**
 * The machine that runs a program over bytes: a pushdown automaton made deterministic as it goes. A state is the set of
 * all (instruction, frame) pairs the bytes so far may have led to; states and frames are numbered and interned, so a
 * byte seen before in a state is one table look-up.
 */
import { CortexError } from '@cortex/core';
import { frameDepthMax, op, unreachable, type Program } from './program.ts';

/** The state no continuation leads out of: the bytes were wrong. */
export const dead = -1;
/** In `Automaton.table`: not asked for yet. */
export const unknown = -2;

/** The frame of the whole grammar: returning from it completes the output. */
const rootFrame = 0;
const rootSite = -1;
/** Site of frames whose caller is left open, see `Automaton.openFrame`. */
const openSite = -2;

/** Readings of the same bytes kept at once; a grammar that needs more is refused while it runs. */
const configsMax = 4096;

interface State {
  /** Pairs (instruction, frame), each instruction a `byte`. */
  readonly configs: Int32Array;
  /** The output may end here. */
  readonly complete: boolean;
  /** An open frame may have returned here. */
  readonly escaped: boolean;
}

export class Automaton {
  readonly program: Program;
  /** State after the empty output. */
  readonly start: number;
  #states: State[] = [];
  readonly #stateNumbers = new Map<string, number>();
  #table: Int32Array;
  /** 1 for states in which an open frame may have returned. */
  #escaped = new Uint8Array(64);

  /** Per frame: the instruction that pushed it, what it counted, the frame below, how many are below. */
  readonly #sites: number[] = [rootSite];
  readonly #counts: number[] = [0];
  readonly #parents: number[] = [-1];
  readonly #depths: number[] = [0];
  readonly #frameNumbers = new Map<string, number>();

  constructor(program: Program) {
    this.program = program;
    this.#table = new Int32Array(64 * program.nClasses).fill(unknown);
    this.start = this.#intern([program.entry, rootFrame]);
  }

  get nStates(): number {
    return this.#states.length;
  }

  isComplete(state: number): boolean {
    return this.#states[state]?.complete ?? false;
  }

  /**
   * What `advance` knows: row per state, column per byte class, `dead` and `unknown` among the states. Replaced by a
   * larger one as states are met, so take it anew after every `advance`.
   */
  get table(): Int32Array {
    return this.#table;
  }

  hasEscaped(state: number): boolean {
    return this.#escaped[state] === 1;
  }

  configs(state: number): Int32Array {
    return this.#states[state]?.configs ?? new Int32Array(0);
  }

  parent(frame: number): number {
    return this.#parents[frame] ?? rootFrame;
  }

  site(frame: number): number {
    return this.#sites[frame] ?? rootSite;
  }

  count(frame: number): number {
    return this.#counts[frame] ?? 0;
  }

  depth(frame: number): number {
    return this.#depths[frame] ?? 0;
  }

  /** State after one more byte, or `dead`. */
  advance(state: number, byte: number): number {
    const column = this.program.classOfByte[byte] ?? 0;
    const at = state * this.program.nClasses + column;
    const known = this.#table[at] ?? dead;
    if (known !== unknown) return known;
    const next = this.#step(state, column);
    this.#table[at] = next;
    return next;
  }

  /** State from these (instruction, frame) pairs, followed to where the next byte is read. */
  stateAt(pairs: readonly number[]): number {
    return this.#intern(pairs);
  }

  /** What follows once `frame` returns. */
  stateAfter(frame: number): number {
    return this.#intern([this.returnAddress(frame), this.parent(frame)]);
  }

  /** The instruction that goes on when `frame` returns: after a call, or the loop itself. */
  returnAddress(frame: number): number {
    const site = this.site(frame);
    return this.program.ops[site] === op.loop ? site : (this.program.b[site] ?? 0);
  }

  frame(site: number, count: number, parent: number): number {
    return this.#internFrame(site, count, parent, this.depth(parent) + 1);
  }

  /** The same frame having counted to `count`. */
  recounted(frame: number, count: number): number {
    return this.#internFrame(this.site(frame), count, this.#parents[frame] ?? -1, this.depth(frame));
  }

  /** A frame whose caller is unknown: when it returns the state has escaped. `depth` stands for those below. */
  openFrame(count: number, depth: number): number {
    return this.#internFrame(openSite, count, -1, depth);
  }

  /** The same state in this automaton, from another one of the same program. */
  adopt(other: Automaton, state: number): number {
    const frames = new Map<number, number>([[rootFrame, rootFrame]]);
    const adoptFrame = (frame: number): number => {
      const known = frames.get(frame);
      if (known !== undefined) return known;
      const adopted = this.frame(other.site(frame), other.count(frame), adoptFrame(other.parent(frame)));
      frames.set(frame, adopted);
      return adopted;
    };
    const pairs = Array.from(other.configs(state), (value, i) => (i % 2 === 0 ? value : adoptFrame(value)));
    // Completeness is no pair: it comes back by returning from the root frame.
    if (other.isComplete(state)) pairs.push(this.#anyReturn(), rootFrame);
    return this.#intern(pairs);
  }

  #anyReturn(): number {
    return this.program.ops.indexOf(op.return);
  }

  #internFrame(site: number, count: number, parent: number, depth: number): number {
    const key = `${site},${count},${parent},${depth}`;
    const known = this.#frameNumbers.get(key);
    if (known !== undefined) return known;
    const frame = this.#sites.push(site) - 1;
    this.#counts.push(count);
    this.#parents.push(parent);
    this.#depths.push(depth);
    this.#frameNumbers.set(key, frame);
    return frame;
  }

  #step(state: number, column: number): number {
    const { a, b, sets, nClasses } = this.program;
    const configs = this.configs(state);
    const pairs: number[] = [];
    for (let i = 0; i < configs.length; i += 2) {
      const at = configs[i] ?? 0;
      if (sets[(a[at] ?? 0) * nClasses + column] === 1) pairs.push(b[at] ?? 0, configs[i + 1] ?? 0);
    }
    return pairs.length === 0 ? dead : this.#intern(pairs);
  }

  /** Follows everything that reads no byte, and numbers the outcome. */
  #intern(pairs: readonly number[]): number {
    const closure = new Closure(this);
    const state = closure.run(pairs);
    if (state.configs.length === 0 && !state.complete && !state.escaped) return dead;
    const key = `${state.configs.join()},${state.complete ? 'c' : ''}${state.escaped ? 'e' : ''}`;
    const known = this.#stateNumbers.get(key);
    if (known !== undefined) return known;
    const number = this.#states.push(state) - 1;
    this.#stateNumbers.set(key, number);
    this.#reserve(number);
    if (state.escaped) this.#escaped[number] = 1;
    return number;
  }

  #reserve(state: number): void {
    if (state < this.#escaped.length) return;
    const nStates = 2 * this.#escaped.length;
    const table = new Int32Array(nStates * this.program.nClasses).fill(unknown);
    table.set(this.#table);
    this.#table = table;
    const escaped = new Uint8Array(nStates);
    escaped.set(this.#escaped);
    this.#escaped = escaped;
  }
}

/** One closure: from some pairs, all (byte instruction, frame) pairs reachable without reading. */
class Closure {
  readonly #automaton: Automaton;
  readonly #program: Program;
  readonly #stack: number[] = [];
  readonly #seen = new Set<number>();
  /** Keys of the pairs that read a byte, as in `#seen`. */
  readonly #reading: number[] = [];
  #complete = false;
  #escaped = false;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    this.#program = automaton.program;
  }

  run(pairs: readonly number[]): State {
    for (let i = 0; i < pairs.length; i += 2) this.#push(pairs[i] ?? 0, pairs[i + 1] ?? 0);
    for (;;) {
      const frame = this.#stack.pop();
      const at = this.#stack.pop();
      if (frame === undefined || at === undefined) break;
      this.#follow(at, frame);
    }
    this.#reading.sort((x, y) => x - y);
    const configs = new Int32Array(2 * this.#reading.length);
    this.#reading.forEach((key, i) => {
      configs[2 * i] = key % this.#program.ops.length;
      configs[2 * i + 1] = Math.floor(key / this.#program.ops.length);
    });
    return { configs, complete: this.#complete, escaped: this.#escaped };
  }

  /** Only what can still come to its end within the depth limit. */
  #push(at: number, frame: number): void {
    const need = this.#program.need[at] ?? unreachable;
    if (need + this.#automaton.depth(frame) > frameDepthMax) return;
    const key = frame * this.#program.ops.length + at;
    if (this.#seen.has(key)) return;
    if (this.#seen.size > configsMax) {
      throw new CortexError('invalid_request', 'the output has too many readings under the given schema');
    }
    this.#seen.add(key);
    this.#stack.push(at, frame);
  }

  #follow(at: number, frame: number): void {
    const { ops, b, targets } = this.#program;
    const a = this.#program.a[at] ?? 0;
    switch (ops[at] ?? -1) {
      case op.byte:
        this.#reading.push(frame * ops.length + at);
        return;
      case op.split:
        for (let i = 0; i < (b[at] ?? 0); i++) this.#push(targets[a + i] ?? 0, frame);
        return;
      case op.call:
        this.#push(a, this.#automaton.frame(at, 0, frame));
        return;
      case op.return:
        this.#leave(frame);
        return;
      case op.count: {
        const counted = this.#counted(b[at] ?? 0, frame);
        if (counted !== null) this.#push(a, counted);
        return;
      }
      case op.enough:
        if (this.#hasEnough(b[at] ?? 0, frame)) this.#push(a, frame);
        return;
      case op.loop: {
        const limits = this.#program.c[at] ?? 0;
        if (this.#hasEnough(limits, frame)) this.#push(b[at] ?? 0, frame);
        const counted = this.#counted(limits, frame);
        if (counted !== null) this.#push(a, this.#automaton.frame(at, 0, counted));
      }
    }
  }

  #leave(frame: number): void {
    const site = this.#automaton.site(frame);
    if (site === rootSite) this.#complete = true;
    else if (site === openSite) this.#escaped = true;
    else this.#push(this.#automaton.returnAddress(frame), this.#automaton.parent(frame));
  }

  #hasEnough(limits: number, frame: number): boolean {
    return this.#automaton.count(frame) >= (this.#program.limits[2 * limits] ?? 0);
  }

  /** The frame with one more counted; without a maximum, counting stops at the minimum. Null: one too many. */
  #counted(limits: number, frame: number): number | null {
    const min = this.#program.limits[2 * limits] ?? 0;
    const max = this.#program.limits[2 * limits + 1] ?? -1;
    const count = this.#automaton.count(frame);
    if (max >= 0 && count >= max) return null;
    return this.#automaton.recounted(frame, max < 0 ? Math.min(count + 1, min) : count + 1);
  }
}
