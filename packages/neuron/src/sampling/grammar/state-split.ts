/**
 * Takes a state of the automaton apart into what it is doing (`inner`, with its caller left open) and where that will
 * return to (`outer`). Inside a string, say, the inner state is the same wherever the string stands, so the costly walk
 * over the vocabulary is done once for it. Counts and depths that no single token can exhaust are evened out for the same reason.
 */
import type { Automaton } from './automaton.ts';
import { frameDepthMax, op, unreachable, type Program } from './program.ts';

export interface SplitState {
  readonly inner: number;
  /** Null: the inner state is the whole. */
  readonly outer: number | null;
}

export class StateSplitter {
  readonly #automaton: Automaton;
  /** No token is longer: counts this far from their limits behave alike for one token. */
  readonly #tokenBytesMax: number;
  /** Frames no deeper than this are all far from the depth limit. */
  readonly #shallow: number;

  constructor(automaton: Automaton, tokenBytesMax: number) {
    this.#automaton = automaton;
    this.#tokenBytesMax = tokenBytesMax;
    this.#shallow = frameDepthMax - spareFrames - deepestNeed(automaton.program);
  }

  split(state: number): SplitState {
    const configs = this.#automaton.configs(state);
    const common = this.#commonFrame(configs);
    if (this.#automaton.parent(common) < 0 || configs.length === 0) return { inner: state, outer: null };
    const moved = new Map<number, number>([[common, this.#opened(common, configs)]]);
    const pairs = Array.from(configs, (value, i) => (i % 2 === 0 ? value : this.#move(value, moved)));
    return { inner: this.#automaton.stateAt(pairs), outer: this.#automaton.stateAfter(common) };
  }

  /** The deepest frame that lies under (or is) every configuration's. */
  #commonFrame(configs: Int32Array): number {
    const automaton = this.#automaton;
    let common = configs[1] ?? 0;
    for (let i = 3; i < configs.length; i += 2) {
      let frame = configs[i] ?? 0;
      while (automaton.depth(frame) > automaton.depth(common)) frame = automaton.parent(frame);
      while (automaton.depth(common) > automaton.depth(frame)) common = automaton.parent(common);
      while (common !== frame) {
        common = automaton.parent(common);
        frame = automaton.parent(frame);
      }
    }
    return common;
  }

  /** The common frame with its caller open. */
  #opened(common: number, configs: Int32Array): number {
    const depth = this.#automaton.depth(common);
    let above = 0;
    for (let i = 1; i < configs.length; i += 2) {
      above = Math.max(above, this.#automaton.depth(configs[i] ?? 0) - depth);
    }
    // Pretending to be deeper than it is only forbids nesting that would be allowed, and never the way out.
    const levelled = depth <= this.#shallow && above <= spareFrames ? this.#shallow : depth;
    return this.#automaton.openFrame(this.#evened(common), levelled);
  }

  #move(frame: number, moved: Map<number, number>): number {
    const known = moved.get(frame);
    if (known !== undefined) return known;
    const below = this.#move(this.#automaton.parent(frame), moved);
    const result = this.#automaton.frame(this.#automaton.site(frame), this.#evened(frame), below);
    moved.set(frame, result);
    return result;
  }

  /** A count that every token treats like this frame's own. */
  #evened(frame: number): number {
    const { ops, c, limits } = this.#automaton.program;
    const site = this.#automaton.site(frame);
    const count = this.#automaton.count(frame);
    const number = ops[site] === op.call ? (c[site] ?? -1) : -1;
    if (number < 0) return count;
    const min = limits[2 * number] ?? 0;
    const max = limits[2 * number + 1] ?? -1;
    if (count >= min && (max < 0 || max - count > this.#tokenBytesMax)) return min;
    return min - count > this.#tokenBytesMax ? 0 : count;
  }
}

/** Frames that one state may reach above its common frame and still count as shallow. */
const spareFrames = 32;

function deepestNeed({ need }: Program): number {
  let deepest = 0;
  for (const frames of need) if (frames !== unreachable && frames > deepest) deepest = frames;
  return deepest;
}
