/**
 * What a device's thread is doing, readable from outside while it is blocked: a few words of shared memory. Only the
 * device's thread writes; a reader sees a step's start time no older than the step.
 */

export interface HeartbeatReading {
  /** Steps and pieces of loading completed; it moves on as long as the thread does. */
  readonly nDone: bigint;
  /** `load`: between the pieces of a load, when native code may run but no step does. */
  readonly activity: 'idle' | 'step' | 'load';
  /** `process.hrtime.bigint()` when the current activity began. */
  readonly sinceNs: bigint;
}

const iDone = 0;
const iSince = 1;
const iActivity = 2;
const nWords = 3;
const activities = ['idle', 'step', 'load'] as const;

export class Heartbeat {
  readonly #words: BigInt64Array;
  /** The writer's own: loads in progress. */
  #nLoads = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new BigInt64Array(buffer);
  }

  static buffer(): SharedArrayBuffer {
    return new SharedArrayBuffer(nWords * BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** Runs one step: it is what the watchdog measures. */
  step<T>(run: () => T): T {
    this.#enter('step');
    try {
      return run();
    } finally {
      this.#leave();
    }
  }

  /** Runs what yields to the thread's steps between its pieces; `piece()` notes that one has been done. */
  async load<T>(run: (piece: () => void) => Promise<T>): Promise<T> {
    this.#nLoads += 1;
    this.#enter('load');
    try {
      return await run(() => this.#leave());
    } finally {
      this.#nLoads -= 1;
      this.#leave();
    }
  }

  read(): HeartbeatReading {
    const activity = activities[Number(Atomics.load(this.#words, iActivity))] ?? 'idle';
    return { activity, sinceNs: Atomics.load(this.#words, iSince), nDone: Atomics.load(this.#words, iDone) };
  }

  #enter(activity: HeartbeatReading['activity']): void {
    Atomics.store(this.#words, iSince, process.hrtime.bigint());
    Atomics.store(this.#words, iActivity, BigInt(activities.indexOf(activity)));
  }

  #leave(): void {
    Atomics.add(this.#words, iDone, 1n);
    this.#enter(this.#nLoads > 0 ? 'load' : 'idle');
  }
}
