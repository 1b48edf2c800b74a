/**
 * For each instruction the fewest further frames with which its routine can come to its end. The machine follows only
 * what still fits under the depth limit by this count, so that it never nests its way into a dead end; what can never
 * end (a schema nothing satisfies) has no count and is never followed.
 */
import { op, unreachable, type Program } from './program.ts';

type Code = Pick<Program, 'ops' | 'a' | 'b' | 'c' | 'targets' | 'limits'>;

/** The instructions each one's count depends on. */
function successors(code: Code, at: number): readonly number[] {
  const a = code.a[at] ?? 0;
  const b = code.b[at] ?? 0;
  switch (code.ops[at] ?? -1) {
    case op.byte:
      return [b];
    case op.split:
      return Array.from(code.targets.subarray(a, a + b));
    case op.call:
    case op.loop:
      return [a, b];
    case op.count:
    case op.enough:
      return [a];
    default:
      return [];
  }
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
      case op.split:
        return Math.min(unreachable, ...successors(code, at).map(needOf));
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

  const dependents: number[][] = Array.from({ length: nInstructions }, () => []);
  for (let at = 0; at < nInstructions; at++) for (const on of successors(code, at)) dependents[on]?.push(at);
  const queue = Array.from({ length: nInstructions }, (_, at) => at);
  const queued = new Uint8Array(nInstructions).fill(1);
  // Counts only fall, and by whole frames, so this ends; first in, first out keeps the rounds few.
  for (let next = 0; next < queue.length; next++) {
    const at = queue[next] ?? 0;
    queued[at] = 0;
    const need = evaluate(at);
    if (need >= needOf(at)) continue;
    needs[at] = need;
    for (const dependent of dependents[at] ?? []) {
      if (queued[dependent] === 1) continue;
      queued[dependent] = 1;
      queue.push(dependent);
    }
  }
  return needs;
}
