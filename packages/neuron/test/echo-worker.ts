/** A worker for tests: answers each message with what it was given, using a workspace import and type syntax. */
import { parentPort, workerData } from 'node:worker_threads';
import { errorTable } from '@cortex/core';

if (parentPort === null) throw new Error('runs in a worker thread only');
const port = parentPort;
if (workerData === 'refuse to load') throw new Error('refused to load');

port.on('message', (message: unknown) => {
  port.postMessage({ message, workerData: workerData as unknown, status: errorTable.overloaded.status });
});
