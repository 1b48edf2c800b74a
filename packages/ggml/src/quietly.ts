/** ggml says a line on standard error for every weight that it repacks; some of its work is better done in silence. */
import type { Native } from './native.ts';

/**
 * Runs `work` with ggml's log off, the whole process's. The log goes to a C function that does nothing with its
 * arguments: one of ours would be called from threads that cannot enter JavaScript.
 */
export const quietly = <T>(native: Native, work: () => T): T => {
  native.ggml_log_set(native.idleFunction, null);
  try {
    return work();
  } finally {
    native.ggml_log_set(null, null);
  }
};
