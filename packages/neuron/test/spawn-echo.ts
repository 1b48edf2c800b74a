/** A program for tests: starts the echo worker, prints one answer as JSON, ends. */
import { once } from 'node:events';
import { spawnWorker } from '../src/spawn-worker.ts';

const worker = spawnWorker(new URL('./echo-worker.ts', import.meta.url), { workerData: 'data' });
worker.postMessage('hello', []);
const [answer] = await once(worker, 'message');
console.log(JSON.stringify(answer));
await worker.terminate();
