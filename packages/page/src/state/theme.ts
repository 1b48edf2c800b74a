/** Dark or light: the system's choice until the person makes one, which is kept. */
import { signal } from '@preact/signals';

export type Theme = 'dark' | 'light';

const item = 'cortex-theme';
const system = matchMedia('(prefers-color-scheme: light)');

const chosen = (): Theme | null => {
  const value = localStorage.getItem(item);
  return value === 'dark' || value === 'light' ? value : null;
};

const current = (): Theme => chosen() ?? (system.matches ? 'light' : 'dark');

export const theme = signal<Theme>(current());

const show = (): void => {
  theme.value = current();
  document.documentElement.dataset['theme'] = theme.value;
};

export const startTheme = (): void => {
  system.addEventListener('change', show);
  show();
};

export const toggleTheme = (): void => {
  localStorage.setItem(item, theme.value === 'dark' ? 'light' : 'dark');
  show();
};
