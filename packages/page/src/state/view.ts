/** Which view is shown: the address's fragment, so that links, the back button and bookmarks work. */
import { signal } from '@preact/signals';

export const views = ['fleet', 'requests', 'routing', 'log', 'playground'] as const;
export type View = (typeof views)[number];

/** `#/requests` → `requests`; anything else is the first view. */
export const viewOf = (hash: string): View => views.find((view) => `#/${view}` === hash) ?? 'fleet';

export const view = signal<View>('fleet');

export const startViews = (): void => {
  view.value = viewOf(location.hash);
  addEventListener('hashchange', () => {
    view.value = viewOf(location.hash);
    document.getElementById('main')?.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
};
