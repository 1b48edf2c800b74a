/** A lease on a model that may have to be loaded first: says how far it is while that takes noticeable time. */
import type { CompletionEvent } from '@cortex/core';
import type { Lease, ModelState } from './model-registry.ts';

/** What fails sooner than this still has its own status. */
const noticeableMs = 1000;
const everyMs = 1000;

type LoadingEvent = Extract<CompletionEvent, { kind: 'loading' }>;

const loadingEvent = (state: ModelState): LoadingEvent => ({
  kind: 'loading',
  fraction: state.kind === 'loading' ? state.progress.fraction : 0,
  phase: state.kind === 'loading' ? state.progress.phase : 'waiting',
});

/** `waitMs` later at the latest: whether it has been leased, or has failed, by then. */
const settledWithin = async (leasing: Promise<Lease>, waitMs: number): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), waitMs);
  });
  const settled = leasing.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
};

/** @throws what the lease throws. Given up halfway, the lease is released as soon as it is there. */
export async function* whileLoading(
  leasing: Promise<Lease>,
  stateNow: () => ModelState,
): AsyncGenerator<LoadingEvent, Lease> {
  let isTaken = false;
  try {
    for (let waitMs = noticeableMs; !(await settledWithin(leasing, waitMs)); waitMs = everyMs) {
      yield loadingEvent(stateNow());
    }
    const lease = await leasing;
    isTaken = true;
    return lease;
  } finally {
    if (!isTaken) {
      void leasing.then(
        (lease) => lease.release(),
        () => {},
      );
    }
  }
}
