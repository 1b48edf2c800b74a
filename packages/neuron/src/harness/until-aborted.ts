/** Lets one caller stop waiting for work that others share and that goes on without it. */

/** As `work`, or rejects with the signal's reason as soon as it is aborted. */
export const untilAborted = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    // Also where the caller has left: a late failure of the work must not go unhandled.
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
