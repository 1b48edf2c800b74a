/** For the test of `JobThread`: jobs that end in every way there is. */
import { serveJobs } from '../src/harness/serve-jobs.ts';

export type OddJob = 'echo' | 'fail' | 'hang' | 'die';

serveJobs((job: OddJob): string => {
  switch (job) {
    case 'echo':
      return 'echo';
    case 'fail':
      throw new Error('it failed');
    case 'hang':
      for (;;);
    case 'die':
      process.exit(3);
  }
});
