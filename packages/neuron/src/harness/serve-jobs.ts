/** The inside of a `JobThread`: one job at a time, each answered or failed. */
import { parentPort } from 'node:worker_threads';
import { CortexError } from '@cortex/core';
import type { JobMessage, JobResult } from './job-thread.ts';

/**
 * Serves until the thread is ended.
 * @param run takes the jobs and gives the answers, or promises of them, that the `JobThread` outside is typed with.
 */
export const serveJobs = (run: (job: never) => unknown): void => {
  const port = parentPort;
  if (port === null) throw new Error('jobs are served by a worker thread only');
  const post = (result: JobResult<unknown>): void => port.postMessage(result);
  let last: Promise<unknown> = Promise.resolve();
  const serve = async ({ jobId, job }: JobMessage<never>): Promise<void> => {
    try {
      post({ jobId, kind: 'answered', answer: await run(job) });
    } catch (error) {
      post({ jobId, kind: 'failed', error: CortexError.from(error).toData() });
    }
  };
  port.on('message', (message: JobMessage<never>) => {
    last = last.then(() => serve(message));
  });
};
