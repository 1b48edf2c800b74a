/**
 * What this thread holds of native memory: every context, buffer, allocator, file mapping and piece of host memory from
 * its making to its freeing. A level that only rises is a leak, which V8's figures do not show.
 */

export interface Holding {
  /** Of data; a context's metadata counts as none. */
  readonly nBytes: number;
}

export interface Holdings {
  readonly nHandles: number;
  readonly nBytes: number;
}

const held = new Set<Holding>();

export const noteHeld = (holding: Holding): void => {
  held.add(holding);
};

export const noteFreed = (holding: Holding): void => {
  held.delete(holding);
};

export const holdings = (): Holdings => ({
  nHandles: held.size,
  nBytes: [...held].reduce((sum, { nBytes }) => sum + nBytes, 0),
});
