/** The gateway's last log lines, newest first, as text and nothing but text. */
import { useState } from 'preact/hooks';
import { clock } from '../format.ts';
import { Empty } from '../parts/empty.tsx';
import { matchesLog, type LogEntry, type LogLevel } from '../state/log-entry.ts';
import { mayManage, watched } from '../state/store.ts';

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

const Line = ({ entry }: { readonly entry: LogEntry }) => (
  <li class={entry.level}>
    <span class="num sub">{clock(entry.at)}</span>
    <span class="level">{entry.level}</span>
    <span class="log-text">
      <strong>{entry.message}</strong>
      {entry.fields.map(([name, value]) => (
        <span key={name} class="field">
          <span class="field-name">{name}=</span>
          {value}
        </span>
      ))}
    </span>
  </li>
);

export const LogView = () => {
  const [level, setLevel] = useState<LogLevel>('info');
  const [text, search] = useState('');
  const [frozen, freeze] = useState<readonly LogEntry[] | null>(null);
  if (!mayManage.value) return <Empty text="The log is shown to keys with admin rights." />;
  const shown = (frozen ?? watched.value.log).filter((entry) => matchesLog(entry, level, text));
  return (
    <>
      <div class="row bar">
        <label>
          <span class="unseen">Least level</span>
          <select
            value={level}
            onChange={(event) => setLevel(levels.find((one) => one === event.currentTarget.value) ?? 'info')}
          >
            {levels.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <label class="grow">
          <span class="unseen">Search the log</span>
          <input
            type="search"
            placeholder="message or field"
            value={text}
            onInput={(event) => search(event.currentTarget.value)}
          />
        </label>
        <button
          type="button"
          aria-pressed={frozen !== null}
          onClick={() => freeze(frozen === null ? watched.value.log : null)}
        >
          {frozen === null ? 'Hold' : 'Go on'}
        </button>
      </div>
      {shown.length === 0 ? <Empty text="No line fits." /> : null}
      <ol class="log">
        {shown.map((entry, i) => (
          <Line key={`${entry.at} ${shown.length - i}`} entry={entry} />
        ))}
      </ol>
    </>
  );
};
