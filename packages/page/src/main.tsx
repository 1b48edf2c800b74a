/** Starts the page. */
import { render } from 'preact';
import './page.css';
import { App } from './app.tsx';
import { startWatching } from './state/store.ts';
import { startTheme } from './state/theme.ts';
import { startViews } from './state/view.ts';

startTheme();
startViews();
startWatching();
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
