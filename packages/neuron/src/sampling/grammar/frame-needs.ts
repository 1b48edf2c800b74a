/**
 * For each instruction the fewest further frames with which its routine can come to its end. The machine follows only
 * what still fits under the depth limit by this count, so that it never nests its way into a dead end; what can never
 * end (a schema nothing satisfies) has no count and is never followed.
 */
import { op, unreachable, type Program } from './program.ts';

type Code = Pick<Program, 'ops' | 'a' | 'b' | 'c' | 'targets' | 'limits'>;

/** Calls `visit` with each instruction that the count of `at` depends on. */
function eachSuccessor(code: Code, at: number, visit: (successor: number) => void): void {
  const a = code.a[at] ?? 0;
  const b = code.b[at] ?? 0;
  switch (code.ops[at] ?? -1) {
    case op.byte:
      visit(b);
      return;
    case op.split:
      for (let i = a; i < a + b; i++) visit(code.targets[i] ?? 0);
      return;
    case op.call:
    case op.loop:
      visit(a);
      visit(b);
      return;
    case op.count:
    case op.enough:
      visit(a);
  }
}

/** For each instruction those whose count depends on it: `list[starts[i] … starts[i + 1])`. */
function dependents(code: Code): { starts: Int32Array; list: Int32Array } {
  const nInstructions = code.ops.length;
  const ends = new Int32Array(nInstructions + 1);
  for (let at = 0; at < nInstructions; at++) eachSuccessor(code, at, (on) => (ends[on + 1] = (ends[on + 1] ?? 0) + 1));
  for (let at = 0; at < nInstructions; at++) ends[at + 1] = (ends[at + 1] ?? 0) + (ends[at] ?? 0);
  const starts = ends.slice();
  const list = new Int32Array(ends[nInstructions] ?? 0);
  for (let at = 0; at < nInstructions; at++) {
    eachSuccessor(code, at, (on) => {
      const place = ends[on] ?? 0;
      list[place] = at;
      ends[on] = place + 1;
    });
  }
  return { starts, list };
}

export function frameNeeds(code: Code): Int16Array {
  const nInstructions = code.ops.length;
  const needs = new Int16Array(nInstructions).fill(unreachable);
  const needOf = (at: number): number => needs[at] ?? unreachable;
  const within = (at: number): number => Math.min(unreachable, needOf(at) + 1);

  const evaluate = (at: number): number => {
    const a = code.a[at] ?? 0;
    const b = code.b[at] ?? 0;
    switch (code.ops[at] ?? -1) {
      case op.return:
        return 0;
      case op.split: {
        let least = unreachable;
        for (let i = a; i < a + b; i++) least = Math.min(least, needOf(code.targets[i] ?? 0));
        return least;
      }
      case op.call:
        return Math.max(within(a), needOf(b));
      case op.loop:
        // A loop that need not run needs nothing for its body.
        return (code.limits[2 * (code.c[at] ?? 0)] ?? 0) > 0 ? Math.max(within(a), needOf(b)) : needOf(b);
      case op.byte:
        return needOf(b);
      default:
        return needOf(a);
    }
  };

  const { starts, list } = dependents(code);
  const queue = Array.from({ length: nInstructions }, (_, at) => at);
  const queued = new Uint8Array(nInstructions).fill(1);
  // Counts only fall, and by whole frames, so this ends; first in, first out keeps the rounds few.
  for (let next = 0; next < queue.length; next++) {
    const at = queue[next] ?? 0;
    queued[at] = 0;
    const need = evaluate(at);
    if (need >= needOf(at)) continue;
    needs[at] = need;
    for (let i = starts[at] ?? 0; i < (starts[at + 1] ?? 0); i++) {
      const dependent = list[i] ?? 0;
      if (queued[dependent] === 1) continue;
      queued[dependent] = 1;
      queue.push(dependent);
    }
  }
  return needs;
}
