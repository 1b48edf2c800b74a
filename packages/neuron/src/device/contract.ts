/** A device as the rest of the daemon sees it: calls that cross to its worker thread. */
import type { DeviceInfo, ModelActivity } from '@cortex/core';
import type { LoadProgress } from '../model/device-model.ts';
import type { DeviceAnswers, DeviceJob, GenerateEvent, GenerateSpec, LoadedFacts, LoadSpec } from './protocol.ts';

type JobOf<K extends DeviceJob['kind']> = Extract<DeviceJob, { kind: K }>;

export interface Generation {
  /** Ends after `done`. @throws CortexError, or the signal's reason. Leaving the loop early cancels. */
  readonly events: AsyncIterable<GenerateEvent>;
  /** Ends one choice: it gets `finished` with cause `stopped`. */
  stopChoice(choice: number): void;
}

/** Every call on a poisoned device rejects at once with `device_poisoned`, those already waiting too. */
export interface Device {
  /** Of a group: its devices taken together, under the index of the first. */
  readonly info: DeviceInfo;
  /** Indices of the devices that it computes on: one, or those of a group. */
  readonly members: readonly number[];
  /** Why it is out of service; null while it works. */
  readonly poisonedReason: string | null;
  run<K extends DeviceJob['kind']>(job: JobOf<K>): Promise<DeviceAnswers[K]>;
  load(spec: LoadSpec, onProgress: (progress: LoadProgress) => void): Promise<LoadedFacts>;
  generate(spec: GenerateSpec, signal: AbortSignal): Generation;
  /** Counts of one model's sequences here, measured in the worker. */
  activity(modelId: string): Pick<ModelActivity, 'in_flight' | 'queue_depth' | 'tok_s_prefill' | 'tok_s_decode'>;
  /** Lets running work end within `graceMs`, then gives up the rest. Resolves when the thread is gone (or poisoned). */
  shutdown(graceMs: number): Promise<void>;
}
