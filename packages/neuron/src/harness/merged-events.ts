/** Several streams as one, items in the order in which they come; it fails as soon as one of them does. */

/** Leaving the loop early leaves every source at its next item: abort what feeds them to have that at once. */
export async function* merged<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void> {
  const [only] = sources;
  if (only !== undefined && sources.length === 1) {
    // Read no faster than it is taken: the source itself bounds what it keeps.
    yield* only;
    return;
  }
  const ready: T[] = [];
  const failures: unknown[] = [];
  let nOpen = sources.length;
  let hasLeft = false;
  let wake: (() => void) | null = null;
  const pump = async (source: AsyncIterable<T>): Promise<void> => {
    try {
      for await (const item of source) {
        if (hasLeft) return;
        ready.push(item);
        wake?.();
      }
    } catch (error) {
      failures.push(error);
    } finally {
      nOpen -= 1;
      wake?.();
    }
  };
  for (const source of sources) void pump(source);
  try {
    for (;;) {
      yield* ready.splice(0);
      if (ready.length > 0) continue;
      if (failures.length > 0) throw failures[0];
      if (nOpen === 0) return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    hasLeft = true;
  }
}
