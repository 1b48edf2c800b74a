/** Threads given up as stuck in native code: as long as there is one, the process cannot end in the ordinary way. */

const stuck = new Set<object>();

export const noteStuck = (thread: object): void => {
  stuck.add(thread);
};

/** It has ended after all. */
export const noteEnded = (thread: object): void => {
  stuck.delete(thread);
};

/** Whether only `exitNow` of `@cortex/ggml` ends this process: `process.exit` would wait for a stuck thread for ever. */
export const hasStuckThread = (): boolean => stuck.size > 0;
