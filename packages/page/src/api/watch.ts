/** Keeps one stream of `/api/events` open: read by fetch, because an EventSource can't carry the key. */
import type { PageEvents } from '@cortex/core';
import { ApiError, call } from './call.ts';
import { sseItems } from './sse.ts';

export type WatchState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | { readonly kind: 'lost'; readonly message: string }
  /** A key is wanted, or another one. */
  | { readonly kind: 'locked'; readonly message: string };

export type PageEvent = {
  [K in keyof PageEvents]: { readonly event: K; readonly data: PageEvents[K] };
}[keyof PageEvents];

export interface Watcher {
  onState(state: WatchState): void;
  onEvent(event: PageEvent): void;
}

const pauseMsMin = 500;
const pauseMsMax = 8000;
/** The gateway says something every 15 s: longer silence is a dead line. */
const silenceMs = 40_000;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

const readStream = async (key: string | null, watcher: Watcher, signal: AbortSignal): Promise<void> => {
  const quiet = new AbortController();
  const give = (): void => quiet.abort();
  signal.addEventListener('abort', give);
  let timer = setTimeout(give, silenceMs);
  try {
    const response = await call('api/events', { key, signal: quiet.signal });
    if (response.body === null) throw new ApiError(0, 'unreachable', 'The gateway sent nothing.');
    watcher.onState({ kind: 'live' });
    for await (const item of sseItems(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(give, silenceMs);
      if (item.kind === 'event') watcher.onEvent({ event: item.event, data: JSON.parse(item.data) } as PageEvent);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', give);
  }
};

/** Until the signal: a lost stream is opened again, ever more patiently; a refused key waits for another call. */
export const watchEvents = async (key: string | null, watcher: Watcher, signal: AbortSignal): Promise<void> => {
  let pauseMs = pauseMsMin;
  while (!signal.aborted) {
    try {
      await readStream(
        key,
        {
          ...watcher,
          onState: (state) => watcher.onState(state),
          onEvent: (event) => {
            pauseMs = pauseMsMin;
            watcher.onEvent(event);
          },
        },
        signal,
      );
      if (!signal.aborted) watcher.onState({ kind: 'lost', message: 'The gateway closed the connection.' });
    } catch (thrown) {
      if (signal.aborted) return;
      if (thrown instanceof ApiError && thrown.status === 401) {
        watcher.onState({ kind: 'locked', message: thrown.message });
        return;
      }
      const message = thrown instanceof ApiError ? thrown.message : 'The connection to the gateway broke.';
      watcher.onState({ kind: 'lost', message });
    }
    await pause(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, pauseMsMax);
  }
};
