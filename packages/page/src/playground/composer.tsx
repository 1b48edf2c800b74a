/**
 * Where a question is written. Enter sends, Shift+Enter breaks the line, Escape stops the answer; pictures are
 * dropped, pasted or picked.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { answering, ask, parameterProblem, stopAnswer } from './chat.ts';
import { filesOf, PendingPictures, usePendingPictures } from './pending-pictures.tsx';

interface BarProps {
  /** Why pictures can't be added. */
  readonly blind: string | null;
  readonly canSend: boolean;
  readonly onFiles: (files: readonly File[]) => void;
  readonly onRefuse: (why: string) => void;
  readonly onSend: () => void;
}

const Bar = ({ blind, canSend, onFiles, onRefuse, onSend }: BarProps) => {
  const picker = useRef<HTMLInputElement>(null);
  const onPick = (): void => {
    onFiles([...(picker.current?.files ?? [])]);
    // The same file may be picked again.
    if (picker.current !== null) picker.current.value = '';
  };
  return (
    <div class="row">
      <input ref={picker} type="file" accept="image/*" multiple hidden onChange={onPick} />
      <button
        type="button"
        aria-disabled={blind !== null}
        title={blind ?? 'Add pictures'}
        onClick={() => (blind === null ? picker.current?.click() : onRefuse(blind))}
      >
        Add picture
      </button>
      <span id="composer-hint" class="hint grow">
        Drop or paste pictures. Enter sends, Shift+Enter breaks the line, Esc stops.
      </span>
      {answering.value ? (
        <button type="button" class="primary" onClick={stopAnswer}>
          Stop
        </button>
      ) : (
        <button type="button" class="primary" aria-disabled={!canSend} onClick={onSend}>
          Send
        </button>
      )}
    </div>
  );
};

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;

/**
 * Files that are dropped or pasted anywhere while this is shown: the browser would open what falls beside a small
 * target, and the conversation would be gone. @returns whether some are dragged over the page
 */
const useFilesGiven = (onFiles: (files: readonly File[]) => void): boolean => {
  const [dragged, setDragged] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    const ended = new AbortController();
    const on = <K extends keyof WindowEventMap>(name: K, listener: (event: WindowEventMap[K]) => void): void =>
      window.addEventListener(name, listener, { signal: ended.signal });
    on('dragover', (event) => setDragged(hasFiles(event)));
    on('dragleave', (event) => {
      if (event.relatedTarget === null) setDragged(false);
    });
    on('drop', (event) => {
      setDragged(false);
      take.current(filesOf(event.dataTransfer));
    });
    on('paste', (event) => {
      const files = filesOf(event.clipboardData);
      if (files.length === 0) return;
      event.preventDefault();
      take.current(files);
    });
    return () => ended.abort();
  }, []);
  return dragged;
};

export const Composer = ({ model }: { readonly model: string }) => {
  const [text, setText] = useState('');
  const { pictures, refusal, blind, add, remove, clear, setProblem } = usePendingPictures(model);
  const onFiles = (files: readonly File[]): void => void add(files);
  const dragged = useFilesGiven(onFiles);
  const asks = text.trim() !== '' || pictures.length > 0;
  const canSend = asks && model !== '' && !answering.value && (blind === null || pictures.length === 0);

  const send = (): void => {
    if (!canSend) return;
    const problem = parameterProblem(model);
    if (problem !== null) return setProblem(problem);
    void ask(model, text.trim(), pictures);
    setText('');
    clear();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') stopAnswer();
    // Enter also ends the input of an ideograph, which sends nothing.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <div class={dragged ? 'composer card dragged' : 'composer card'}>
      {pictures.length === 0 ? null : <PendingPictures pictures={pictures} onRemove={remove} />}
      {refusal === null ? null : (
        <p class="failure" role="alert">
          {refusal}
        </p>
      )}
      <textarea
        aria-label="Your question"
        aria-describedby="composer-hint"
        rows={2}
        placeholder={model === '' ? 'There is no model to ask.' : `Ask ${model}`}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <Bar blind={blind} canSend={canSend} onFiles={onFiles} onRefuse={setProblem} onSend={send} />
    </div>
  );
};
