/** One answer: reasoning folded away, tool calls, text, how it ended, what it took. */
import type { AnswerTurn, ToolCallText } from './conversation.ts';
import { MarkdownView } from './markdown-view.tsx';
import { usageLine } from './usage-line.ts';

/** Arguments as JSON that can be read, once they are whole. */
const readable = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

const Call = ({ called }: { readonly called: ToolCallText }) => (
  <div class="call">
    <span class="tag">tool call</span> <span class="mono">{called.name}</span>
    <pre tabIndex={0} aria-label={`Arguments of ${called.name}`}>
      <code>{readable(called.arguments)}</code>
    </pre>
  </div>
);

export const Answer = ({ answer }: { readonly answer: AnswerTurn }) => {
  const { state, text, reasoning, calls, failure, note, model } = answer;
  const runs = state === 'waiting' || state === 'streaming';
  return (
    <article class="turn answer" aria-label={`Answer of ${model}`} aria-busy={runs}>
      {reasoning === '' ? null : (
        <details class="reasoning">
          <summary>{runs && text === '' ? 'Thinking…' : 'Reasoning'}</summary>
          <MarkdownView text={reasoning} />
        </details>
      )}
      {text === '' ? null : <MarkdownView text={text} />}
      {calls.map((called, i) => (
        <Call key={i} called={called} />
      ))}
      {runs && text === '' ? (
        <p class="sub waiting">
          <span class="spinner" aria-hidden="true" /> {note === '' ? 'waiting for the first token' : note}
        </p>
      ) : null}
      {failure === null ? null : (
        <p class="failure" role="alert">
          <span class="mono">{failure.code}</span> {failure.message}
        </p>
      )}
      {runs ? null : <p class="usage sub">{usageLine(answer)}</p>}
    </article>
  );
};
