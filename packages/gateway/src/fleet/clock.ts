/** Time as the fleet sees it: injected, so that tests can turn hours into microseconds. */

export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Runs `task` once after `ms`; the answer calls it off. */
  after(ms: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms);
    // Sockets keep the process alive, timers must not.
    timer.unref();
    return () => clearTimeout(timer);
  },
};
