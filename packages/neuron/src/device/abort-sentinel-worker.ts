/**
 * The thread that native failures are reported to. It passes on the first message and parks for good: the failing
 * thread waits for this one, and were it let go on, the library would abort the process.
 */
import { parentPort } from 'node:worker_threads';
import { onNativeAbort, openLibrary } from '@cortex/ggml';
import type { SentinelMessage } from './abort-sentinel.ts';

const port = parentPort;
if (port === null) throw new Error('abort-sentinel-worker.ts runs as a worker thread only');

const post = (message: SentinelMessage): void => port.postMessage(message);

onNativeAbort(openLibrary().native, (reason) => {
  post({ kind: 'failure', reason });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0);
});
// Holds the thread's event loop open: it is what runs the callback.
port.on('message', () => {});
post({ kind: 'ready' });
