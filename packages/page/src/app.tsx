/** The frame around the views: where one is, whether the gateway is heard, theme and key. */
import type { FunctionComponent } from 'preact';
import { FleetView } from './fleet/fleet-view.tsx';
import { LogView } from './log/log-view.tsx';
import { KeyDialog } from './parts/key-dialog.tsx';
import { Toasts } from './parts/toasts.tsx';
import { PlaygroundView } from './playground/playground-view.tsx';
import { RequestsView } from './requests/requests-view.tsx';
import { RoutingView } from './routing/routing-view.tsx';
import { apiKey, connection, keyDialog, keyWanted, watched } from './state/store.ts';
import { theme, toggleTheme } from './state/theme.ts';
import { view, views, type View } from './state/view.ts';

const shown: Readonly<Record<View, { readonly title: string; readonly View: FunctionComponent }>> = {
  fleet: { title: 'Fleet', View: FleetView },
  requests: { title: 'Requests', View: RequestsView },
  routing: { title: 'Routing', View: RoutingView },
  log: { title: 'Log', View: LogView },
  playground: { title: 'Playground', View: PlaygroundView },
};

const Connection = () => {
  const state = connection.value;
  const words = { connecting: 'connecting', live: 'live', lost: 'not connected', locked: 'locked' };
  return (
    <span class={`connection ${state.kind}`} role="status" title={'message' in state ? state.message : undefined}>
      <span class="dot" aria-hidden="true" />
      {words[state.kind]}
    </span>
  );
};

const Navigation = () => (
  <nav aria-label="Views">
    {views.map((name) => (
      <a key={name} href={`#/${name}`} aria-current={view.value === name ? 'page' : undefined}>
        {shown[name].title}
        {name === 'requests' && watched.value.live.total > 0 ? (
          <span class="badge" aria-label={`${watched.value.live.total} running`}>
            {watched.value.live.total}
          </span>
        ) : null}
      </a>
    ))}
  </nav>
);

const Header = () => {
  const hello = watched.value.hello;
  const otherTheme = theme.value === 'dark' ? 'light' : 'dark';
  return (
    <header class="top">
      <a class="mark" href="#/fleet">
        cortex{hello === null ? null : <span class="sub"> {hello.version}</span>}
      </a>
      <Navigation />
      <span class="row end grow">
        <Connection />
        {hello?.keys === false ? null : (
          <button
            type="button"
            class="small"
            onClick={() => {
              keyDialog.value = apiKey.value === null ? 'Calls are made without a key.' : 'A key is in use.';
            }}
          >
            Key
          </button>
        )}
        <button type="button" class="small" aria-label={`Change to ${otherTheme} colours`} onClick={toggleTheme}>
          {theme.value === 'dark' ? '☾' : '☀'}
        </button>
      </span>
    </header>
  );
};

const Lost = () => {
  const state = connection.value;
  if (state.kind !== 'lost' && state.kind !== 'locked') return null;
  return (
    <p class="banner" role="alert">
      {state.kind === 'locked' && apiKey.value === null ? keyWanted : state.message}{' '}
      {state.kind === 'lost' ? 'What is shown is what was last heard; trying again.' : null}
      {state.kind === 'locked' ? (
        <button
          type="button"
          class="small"
          onClick={() => {
            keyDialog.value = apiKey.value === null ? keyWanted : state.message;
          }}
        >
          Enter a key
        </button>
      ) : null}
    </p>
  );
};

export const App = () => {
  const { title, View: Shown } = shown[view.value];
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The fragment names the view: the focus moves, the address stays.
          event.preventDefault();
          document.getElementById('main')?.focus();
        }}
      >
        Skip to the content
      </a>
      <Header />
      <main id="main" tabIndex={-1} aria-label={title}>
        <h1 class="unseen">{title}</h1>
        <Lost />
        <Shown />
      </main>
      <Toasts />
      <KeyDialog />
    </>
  );
};
