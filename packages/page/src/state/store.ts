/** The page's one store: what it watches, and what the person chose. Views read these signals and call these functions. */
import { computed, effect, signal } from '@preact/signals';
import type { CatalogueModel, NodeSnapshot } from '@cortex/core';
import { ApiError, call } from '../api/call.ts';
import { watchEvents, type WatchState } from '../api/watch.ts';
import { hashedHue, huesOf } from './hues.ts';
import { applyEvent, nothingYet, type Watched } from './watched.ts';

/** For this tab alone, and gone with it. */
const keyItem = 'cortex-key';

export const watched = signal<Watched>(nothingYet);
export const connection = signal<WatchState>({ kind: 'connecting' });
export const apiKey = signal<string | null>(sessionStorage.getItem(keyItem));
/** In the page's words: those of the API tell programs where to put it. */
export const keyWanted = 'This gateway asks for an API key.';
/** The dialog for the key is open, with why. */
export const keyDialog = signal<string | null>(null);

export const fleet = computed(() => watched.value.fleet);
export const models = computed<readonly CatalogueModel[]>(() => watched.value.fleet?.models ?? []);
export const mayManage = computed(() => watched.value.hello?.admin === true);

const isPresent = ({ status }: NodeSnapshot['models'][number]): boolean => status !== 'available';

const hues = signal<ReadonlyMap<string, number>>(new Map());
effect(() => {
  const present = (fleet.value?.nodes ?? []).flatMap((node) => node.models.filter(isPresent).map(({ id }) => id));
  if (present.some((id) => !hues.peek().has(id))) hues.value = huesOf(present, hues.peek());
});

/** 0..5, for `--hue-N`. */
export const hueOf = (model: string): number => hues.value.get(model) ?? hashedHue(model);

let stop = new AbortController();

export const startWatching = (): void => {
  stop.abort();
  stop = new AbortController();
  connection.value = { kind: 'connecting' };
  const watcher = {
    onState: (state: WatchState): void => {
      connection.value = state;
      if (state.kind !== 'locked') return;
      watched.value = nothingYet;
      keyDialog.value = apiKey.value === null ? keyWanted : state.message;
    },
    onEvent: (event: Parameters<typeof applyEvent>[1]): void => {
      watched.value = applyEvent(watched.value, event);
    },
  };
  void watchEvents(apiKey.value, watcher, stop.signal);
};

/** @param key null forgets it */
export const useKey = (key: string | null): void => {
  if (key === null) sessionStorage.removeItem(keyItem);
  else sessionStorage.setItem(keyItem, key);
  apiKey.value = key;
  keyDialog.value = null;
  startWatching();
};

export interface Toast {
  readonly id: number;
  readonly kind: 'done' | 'failed';
  readonly text: string;
}

export const toasts = signal<readonly Toast[]>([]);
let lastToast = 0;
const toastMs: Readonly<Record<Toast['kind'], number>> = { done: 4000, failed: 12_000 };

export const dismiss = (id: number): void => {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
};

const tell = (kind: Toast['kind'], text: string): void => {
  lastToast += 1;
  const id = lastToast;
  toasts.value = [...toasts.value, { id, kind, text }].slice(-4);
  setTimeout(() => dismiss(id), toastMs[kind]);
};

/** What was asked for and has not been answered, by path and body: its button waits. */
export const pending = signal<ReadonlySet<string>>(new Set());

const withPending = (name: string, on: boolean): void => {
  const next = new Set(pending.value);
  if (on) next.add(name);
  else next.delete(name);
  pending.value = next;
};

export const actionName = (path: string, body: object): string => `${path} ${JSON.stringify(body)}`;

/** Does it and says how it went; never rejects. */
export const act = async (path: string, body: object, done: string): Promise<void> => {
  const name = actionName(path, body);
  if (pending.value.has(name)) return;
  withPending(name, true);
  try {
    await call(path, { key: apiKey.value, body });
    tell('done', done);
  } catch (thrown) {
    const error = thrown instanceof ApiError ? thrown : new ApiError(0, 'failed', String(thrown));
    tell('failed', error.message);
    if (error.status === 401 || error.status === 403) keyDialog.value = error.message;
  } finally {
    withPending(name, false);
  }
};
