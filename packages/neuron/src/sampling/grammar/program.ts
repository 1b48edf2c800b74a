/**
 * A grammar as instructions for the byte-level machine in `automaton.ts`: plain typed arrays that cross threads. The
 * machine is a pushdown automaton: `call` and `loop` push a frame, `return` pops it, `count` counts in the top one.
 */

export const op = {
  /** Reads one byte of set `a`, then goes on at `b`. */
  byte: 0,
  /** Goes on at each of the `b` targets from `targets[a]`. */
  split: 1,
  /** Runs `a` in a new frame, then goes on at `b`. `c`: the limits of what the frame counts, or -1. */
  call: 2,
  /** Ends the top frame. */
  return: 3,
  /** Counts one more in the top frame, if limits `b` allow, then goes on at `a`. */
  count: 4,
  /** Goes on at `a` if the top frame has counted enough for limits `b`. */
  enough: 5,
  /** Counts as `count` with limits `c` and runs `a` in a new frame, coming back here; or, with enough, goes on at `b`. */
  loop: 6,
} as const;

/** No frame depth satisfies it: the instruction leads nowhere. */
export const unreachable = 0x7fff;
/** Most frames on a stack: this bounds how deep generated JSON nests. */
export const frameDepthMax = 256;

export interface Program {
  readonly ops: Uint8Array;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;
  readonly targets: Int32Array;
  /** Pairs (min, max) of counted frames; max -1: none. */
  readonly limits: Int32Array;
  /** Bytes no instruction tells apart share a class. */
  readonly classOfByte: Uint8Array;
  readonly nClasses: number;
  /** Set s holds class k when `sets[s * nClasses + k]` is 1. */
  readonly sets: Uint8Array;
  /** For each instruction, the fewest further frames with which its routine can return; `unreachable`: never. */
  readonly need: Int16Array;
  readonly entry: number;
}
