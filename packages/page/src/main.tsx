/** Starts the page. */
import { render } from 'preact';
import './page.css';
import { App } from './app.tsx';
import { startWatching } from './state/store.ts';
import { startTheme } from './state/theme.ts';
import { startViews } from './state/view.ts';

// A file that falls where nothing takes it would be opened in place of the page.
for (const name of ['dragover', 'drop'] as const)
  window.addEventListener(name, (event) => {
    if (event.dataTransfer?.types.includes('Files') === true) event.preventDefault();
  });

startTheme();
startViews();
startWatching();
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
