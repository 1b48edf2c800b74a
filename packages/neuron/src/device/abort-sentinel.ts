/**
 * Hears of every failed assert in the native library, whichever thread it fails in. Each is heard by its own thread,
 * which it uses up; the next one takes over.
 */
import type { Worker } from 'node:worker_threads';
import { helperLimits, spawnWorker } from '../spawn-worker.ts';

export type SentinelMessage = { readonly kind: 'ready' } | { readonly kind: 'failure'; readonly reason: string };

const start = (onMessage: (message: SentinelMessage) => void, onError: (error: unknown) => void): Worker => {
  const worker = spawnWorker(new URL('./abort-sentinel-worker.ts', import.meta.url), {
    name: 'abort-sentinel',
    resourceLimits: helperLimits,
  });
  worker.on('message', onMessage).on('error', onError);
  // Neither waiting nor parked does it keep the process.
  worker.unref();
  return worker;
};

/** Resolves when failures are heard. @throws when the library cannot be opened. */
export const listenForAborts = (onFailure: (reason: string) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const worker = start((message) => {
      if (message.kind === 'ready') {
        worker.unref();
        resolve();
        return;
      }
      onFailure(message.reason);
      // Should no successor start, the watchdog is what remains.
      void listenForAborts(onFailure).catch(() => {});
    }, reject);
    worker.ref();
  });
