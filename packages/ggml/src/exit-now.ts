/**
 * Ends the process without waiting for its threads: `process.exit` would wait for ever for one that is stuck in native
 * code, and would let one that a failed assert holds go on to abort the process.
 */
import koffi from 'koffi';

/** Exit handlers and buffered output are skipped. */
export const exitNow = (code: number): never => {
  if (process.platform === 'win32') {
    const kernel = koffi.load('kernel32.dll');
    const current = kernel.func('void *GetCurrentProcess()') as () => unknown;
    // Unlike ExitProcess it runs no library's clean-up, which may wait for a lock that the stuck thread holds.
    (
      kernel.func('bool TerminateProcess(void *process, unsigned int code)') as (process: unknown, code: number) => void
    )(current(), code);
  } else {
    (koffi.load(null).func('void _exit(int code)') as (code: number) => void)(code);
  }
  throw new Error('the process did not end');
};
