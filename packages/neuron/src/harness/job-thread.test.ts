import { afterEach, describe, expect, it } from 'vitest';
import type { OddJob } from '../../test/odd-jobs.ts';
import { until } from '../../test/start-server.ts';
import { hasStuckThread } from '../device/stuck-threads.ts';
import { JobThread } from './job-thread.ts';

const url = new URL('../../test/odd-jobs.ts', import.meta.url);

let thread: JobThread<OddJob, string>;
const start = (rest: { readonly jobsMax?: number; readonly jobMsMax?: number } = {}): void => {
  thread = new JobThread({ url, name: 'odd', work: 'odd jobs wait', jobsMax: 8, ...rest });
};
afterEach(() => thread.close());

describe('a thread for jobs', () => {
  it('answers them, and tells those that failed', async () => {
    start();
    const jobs = [thread.run('echo'), thread.run('fail'), thread.run('echo')] as const;
    await expect(jobs[1]).rejects.toMatchObject({ code: 'internal_error', message: 'it failed' });
    expect([await jobs[0], await jobs[2]]).toEqual(['echo', 'echo']);
  });

  it('that dies fails what it had, and the next job has another', async () => {
    start();
    const jobs = [thread.run('die'), thread.run('echo')];
    for (const job of jobs) await expect(job).rejects.toMatchObject({ message: 'the thread odd ended: exit code 3' });
    expect(await thread.run('echo')).toBe('echo');
  });

  it('that is over a job for too long is given up', async () => {
    start({ jobMsMax: 1000 });
    const late = { code: 'internal_error', message: 'the thread odd ended: no answer for 1 s' };
    await expect(thread.run('hang')).rejects.toMatchObject(late);
    // Another one, for the first can answer nothing any more.
    await expect(thread.run('hang')).rejects.toMatchObject(late);
    // JavaScript that hangs can be ended, unlike native code.
    await until(() => !hasStuckThread());
  });

  it('has a limit on what waits, and takes nothing once it is closed', async () => {
    start({ jobsMax: 1 });
    const first = thread.run('echo');
    await expect(thread.run('echo')).rejects.toMatchObject({ code: 'overloaded', message: '1 odd jobs wait' });
    await first;
    await thread.close();
    await expect(thread.run('echo')).rejects.toMatchObject({ code: 'overloaded' });
  });
});
