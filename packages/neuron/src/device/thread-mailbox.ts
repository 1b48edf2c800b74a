/** A worker thread's messages for the run loop: read from the port both in the event loop's turns and without one. */
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { FromWorker, ToWorker } from './protocol.ts';
import type { Mailbox } from './run-loop.ts';

/** Rows are the worker's own copies, so they move instead of being copied again. */
const transferOf = (message: FromWorker): readonly ArrayBuffer[] =>
  message.kind === 'answer' && message.value instanceof Float32Array && message.value.buffer instanceof ArrayBuffer
    ? [message.value.buffer]
    : [];

export class ThreadMailbox implements Mailbox {
  readonly #port: MessagePort;
  #arrived: ToWorker[] = [];
  #wake: (() => void) | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToWorker) => {
      this.#arrived.push(message);
      this.#wake?.();
    });
  }

  take(): readonly ToWorker[] {
    const messages = this.#arrived;
    this.#arrived = [];
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      messages.push(next.message as ToWorker);
    }
    return messages;
  }

  async wait(): Promise<void> {
    if (this.#arrived.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message, transferOf(message));
  }

  close(): void {
    this.#port.close();
  }
}
