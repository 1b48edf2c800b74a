/** A device's own thread: opens the device through the host module it is told of, and runs the loop until shutdown. */
import { writeFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { CortexError } from '@cortex/core';
import type { OpenDevice } from '../model/device-model.ts';
import { Heartbeat } from './heartbeat.ts';
import type { DeviceWorkerSetup } from './protocol.ts';
import { RunLoop } from './run-loop.ts';
import { ThreadMailbox } from './thread-mailbox.ts';

const port = parentPort;
if (port === null) throw new Error('device-worker.ts runs as a worker thread only');

/** The name that `top -H` and `ps -L` show; only Linux gives a thread one this way. */
const nameThread = (name: string): void => {
  if (process.platform !== 'linux') return;
  try {
    writeFileSync('/proc/thread-self/comm', name);
  } catch {
    // A name is a convenience; some containers mount /proc read-only.
  }
};

const { name, hostUrl, host: hostOptions, heartbeat: shared, waitingMax } = workerData as DeviceWorkerSetup;
const heartbeat = new Heartbeat(shared);
const mailbox = new ThreadMailbox(port);

const open = async (): Promise<RunLoop | null> => {
  try {
    const { openDevice } = (await import(hostUrl)) as { readonly openDevice: OpenDevice };
    const host = heartbeat.step(() => openDevice(hostOptions));
    return new RunLoop({ host, mailbox, heartbeat, waitingMax });
  } catch (error) {
    mailbox.post({ kind: 'open_failed', error: CortexError.from(error).toData() });
    return null;
  }
};

nameThread(name);
const loop = await open();
if (loop !== null) {
  mailbox.post({ kind: 'ready' });
  await loop.run();
}
mailbox.close();
