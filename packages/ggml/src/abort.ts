/**
 * Hearing of a failed assert in ggml. The callback belongs to the process: whichever thread fails, it runs on the
 * JavaScript thread that registered it, while the failing thread waits. When it returns, ggml aborts the process.
 */
import koffi, { type TypeObject } from 'koffi';
import type { Native } from './native.ts';

let declared: TypeObject | undefined;

/** A prototype can be declared once a thread. */
const callbackType = (): TypeObject =>
  (declared ??= koffi.pointer(koffi.proto('void GgmlAbortCallback(const char *message)')));

/**
 * Replaces the process's callback. Register in a thread that is idle when native code runs elsewhere, and park there
 * (`Atomics.wait`) to keep the process; the failed thread is lost either way.
 */
export const onNativeAbort = (
  native: Pick<Native, 'ggml_set_abort_callback'>,
  callback: (message: string) => void,
): void => {
  const registered = koffi.register((message: unknown) => callback(String(message)), callbackType());
  native.ggml_set_abort_callback(registered);
};
