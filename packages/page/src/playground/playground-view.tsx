/** Chat with any model of the fleet. */
import { useEffect, useRef } from 'preact/hooks';
import type { CatalogueModel } from '@cortex/core';
import { Empty } from '../parts/empty.tsx';
import { models } from '../state/store.ts';
import { Answer } from './answer.tsx';
import { answering, chosenModel, clearConversation, turns } from './chat.ts';
import { Composer } from './composer.tsx';
import type { Turn, UserTurn } from './conversation.ts';
import { ParameterPanel } from './parameter-panel.tsx';

/** What the person chose while it is there; else the first, which is a loaded one if there is any. */
const modelFor = (known: readonly CatalogueModel[], chosen: string | null): string =>
  known.find(({ id }) => id === chosen)?.id ?? known[0]?.id ?? '';

const describe = ({ id, state, capabilities }: CatalogueModel): string => {
  const sees = capabilities.includes('vision') ? ', sees' : '';
  return `${id} (${state}${sees})`;
};

const Question = ({ turn }: { readonly turn: UserTurn }) => (
  <article class="turn question" aria-label="Your question">
    {turn.pictures.length === 0 ? null : (
      <div class="thumbs">
        {turn.pictures.map(({ url, name, note }) => (
          <figure key={url}>
            <img src={url} alt={name} />
            {note === null ? null : <figcaption class="sub">{note}</figcaption>}
          </figure>
        ))}
      </div>
    )}
    {turn.text === '' ? null : <p class="said">{turn.text}</p>}
  </article>
);

const TurnView = ({ turn }: { readonly turn: Turn }) =>
  turn.kind === 'user' ? <Question turn={turn} /> : <Answer answer={turn} />;

/** How far from its end a person may have scrolled and still follow the answer. */
const followPx = 120;

const Conversation = () => {
  const end = useRef<HTMLDivElement>(null);
  const shown = turns.value;
  useEffect(() => {
    const page = document.documentElement;
    const belowPx = page.scrollHeight - page.scrollTop - page.clientHeight;
    if (belowPx < followPx || shown.at(-1)?.kind === 'user') end.current?.scrollIntoView({ block: 'end' });
  }, [shown]);
  return (
    <div class="conversation" role="log" aria-label="Conversation">
      {shown.length === 0 ? <Empty text="Nothing has been said yet." /> : null}
      {shown.map((turn, i) => (
        <TurnView key={i} turn={turn} />
      ))}
      <div ref={end} />
    </div>
  );
};

export const PlaygroundView = () => {
  const known = models.value;
  const model = modelFor(known, chosenModel.value);
  return (
    <div class="playground">
      <div class="row bar">
        <label class="grow">
          <span class="unseen">Model</span>
          <select
            value={model}
            onChange={(event) => {
              chosenModel.value = event.currentTarget.value;
            }}
          >
            {known.map((one) => (
              <option key={one.id} value={one.id}>
                {describe(one)}
              </option>
            ))}
          </select>
        </label>
        <button type="button" aria-disabled={turns.value.length === 0} onClick={clearConversation}>
          {answering.value ? 'Stop and clear' : 'Clear'}
        </button>
      </div>
      <details class="card">
        <summary>Parameters</summary>
        <ParameterPanel />
      </details>
      <Conversation />
      <Composer model={model} />
    </div>
  );
};
