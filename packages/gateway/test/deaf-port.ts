/**
 * A port whose host drops what knocks: a listener whose process never accepts and whose backlog is full, so that
 * another connection neither opens nor is refused.
 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const listenAndHang = `
const { parentPort, workerData } = require('node:worker_threads');
require('node:net').createServer().listen({ port: workerData, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage('listening');
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
});`;

/** A connection that opens at once has found room in the backlog. */
const opens = async (port: number, sockets: Socket[]): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  sockets.push(socket);
  return Promise.race([
    once(socket, 'connect').then(() => true),
    // A busy event loop runs late timers before it looks at its sockets: once it has, this one is truly not open.
    new Promise<boolean>((resolve) => setTimeout(() => setImmediate(() => resolve(false)), 150)),
  ]);
};

/** Resolves to what closes it again. */
export const listenDeaf = async (port: number): Promise<() => Promise<void>> => {
  const worker = new Worker(listenAndHang, { eval: true, workerData: port });
  await once(worker, 'message');
  const sockets: Socket[] = [];
  while (await opens(port, sockets)) if (sockets.length > 64) throw new Error('the backlog has no end');
  return async () => {
    for (const socket of sockets) socket.destroy();
    await worker.terminate();
  };
};
