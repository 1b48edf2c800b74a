/** How a process with devices ends. */
import { exitNow } from '@cortex/ggml';
import { hasStuckThread } from '../device/stuck-threads.ts';

/** `process.exit`, or by force where a device's thread is stuck in native code and would be waited for for ever. */
export const endProcess = (code: number): never => (hasStuckThread() ? exitNow(code) : process.exit(code));
