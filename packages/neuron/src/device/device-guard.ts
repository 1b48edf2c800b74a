/**
 * Takes devices out of service when native code fails or hangs in their threads, and only those. A thread stuck in
 * native code can never be ended, so what is taken out stays out until the process ends.
 */
import { listenForAborts } from './abort-sentinel.ts';
import { stillSuspect, suspectsOf, type Suspects } from './failure-suspects.ts';
import type { Heartbeat, HeartbeatReading } from './heartbeat.ts';
import { overdueMs } from './watchdog.ts';

export interface GuardedDevice {
  readonly heartbeat: Heartbeat;
  poison(reason: string): void;
}

interface Failure {
  readonly reason: string;
  suspects: Suspects<GuardedDevice>;
}

const watchEveryMsMax = 1000;
const attributeEveryMs = 10;
/** A failure kept for its suspects: those of a thread that is no device's would gather for ever. */
const failuresMax = 16;

export class DeviceGuard {
  readonly #stepMsMax: number;
  readonly #devices = new Set<GuardedDevice>();
  /** Reported and not yet laid at one device's door. */
  #failures: Failure[] = [];
  #attributing: NodeJS.Timeout | null = null;

  constructor(stepMsMax: number) {
    this.#stepMsMax = stepMsMax;
    setInterval(() => this.#watch(), Math.min(stepMsMax / 4, watchEveryMsMax)).unref();
  }

  /** Also hears of failed asserts in ggml. @throws when its library cannot be opened. */
  static async start(stepMsMax: number): Promise<DeviceGuard> {
    const guard = new DeviceGuard(stepMsMax);
    await listenForAborts((reason) => guard.#failed(reason));
    return guard;
  }

  add(device: GuardedDevice): void {
    this.#devices.add(device);
  }

  remove(device: GuardedDevice): void {
    this.#devices.delete(device);
  }

  #readings(): Map<GuardedDevice, HeartbeatReading> {
    return new Map([...this.#devices].map((device) => [device, device.heartbeat.read()]));
  }

  #failed(reason: string): void {
    this.#failures.push({ reason, suspects: suspectsOf(this.#readings()) });
    this.#failures = this.#failures.slice(-failuresMax);
    this.#attribute();
  }

  /** The last one stuck did it; while several are, the others are given time to move on. */
  #attribute(): void {
    for (const failure of this.#failures) {
      failure.suspects = stillSuspect(failure.suspects, this.#readings());
      const [device] = failure.suspects.keys();
      if (device !== undefined && failure.suspects.size === 1) this.#poison(device, failure.reason);
    }
    this.#failures = this.#failures.filter(({ suspects }) => suspects.size > 1);
    if (this.#failures.length === 0) {
      if (this.#attributing !== null) clearInterval(this.#attributing);
      this.#attributing = null;
    } else {
      this.#attributing ??= setInterval(() => this.#attribute(), attributeEveryMs).unref();
    }
  }

  #watch(): void {
    const nowNs = process.hrtime.bigint();
    for (const [device, reading] of this.#readings()) {
      const ms = overdueMs(reading, nowNs, this.#stepMsMax);
      if (ms === null) continue;
      const reported = this.#failures.find(({ suspects }) => suspects.has(device))?.reason;
      const late = `a step has not returned for ${Math.round(ms / 100) / 10} s`;
      this.#poison(device, reported === undefined ? late : `${late}; reported meanwhile: ${reported}`);
    }
  }

  #poison(device: GuardedDevice, reason: string): void {
    this.#devices.delete(device);
    device.poison(reason);
  }
}
