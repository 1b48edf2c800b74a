/**
 * Where a question is written. Enter sends, Shift+Enter breaks the line, Escape stops the answer; pictures are
 * dropped, pasted or picked.
 */
import { useRef, useState } from 'preact/hooks';
import { models } from '../state/store.ts';
import { answering, ask, stopAnswer } from './chat.ts';
import type { Picture } from './conversation.ts';
import { picturesMax, readPicture } from './picture.ts';
import { whyBlind } from './sight.ts';

interface PicturesProps {
  readonly pictures: readonly Picture[];
  readonly onRemove: (picture: Picture) => void;
}

const Pictures = ({ pictures, onRemove }: PicturesProps) => (
  <ul class="thumbs" aria-label="Pictures to send">
    {pictures.map((picture) => (
      <li key={picture.url}>
        <img src={picture.url} alt={picture.name} />
        <button type="button" class="bare" aria-label={`Remove ${picture.name}`} onClick={() => onRemove(picture)}>
          ×
        </button>
        {picture.note === null ? null : <span class="sub">{picture.note}</span>}
      </li>
    ))}
  </ul>
);

const filesOf = (transfer: DataTransfer | null): readonly File[] => [...(transfer?.files ?? [])];

/** The pictures of the question that is being written, and why some were not taken. */
const usePictures = (model: string) => {
  const [pictures, setPictures] = useState<readonly Picture[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const blind = whyBlind(models.value, model);
  const add = async (files: readonly File[]): Promise<void> => {
    if (files.length === 0) return;
    setProblem(null);
    if (blind !== null) return setProblem(blind);
    const read = await Promise.allSettled(files.map(readPicture));
    const news = read.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = read.find((one) => one.status === 'rejected');
    if (failed !== undefined) setProblem(failed.reason instanceof Error ? failed.reason.message : 'not a picture');
    setPictures((known) => {
      if (known.length + news.length > picturesMax) setProblem(`A question may have ${picturesMax} pictures.`);
      return [...known, ...news].slice(0, picturesMax);
    });
  };
  const clear = (): void => {
    setPictures([]);
    setProblem(null);
  };
  const remove = (picture: Picture): void => setPictures((known) => known.filter((one) => one !== picture));
  // The model may have been changed to one that can't see.
  const refusal = problem ?? (pictures.length > 0 ? blind : null);
  return { pictures, refusal, blind, add, remove, clear, setProblem };
};

export const Composer = ({ model }: { readonly model: string }) => {
  const [text, setText] = useState('');
  const [dragged, setDragged] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const { pictures, refusal, blind, add, remove, clear, setProblem } = usePictures(model);
  const runs = answering.value;
  const canSend =
    !runs && model !== '' && (text.trim() !== '' || pictures.length > 0) && !(pictures.length > 0 && blind !== null);

  const send = (): void => {
    if (!canSend) return;
    ask(model, text.trim(), pictures).catch((thrown: unknown) =>
      setProblem(thrown instanceof Error ? thrown.message : ''),
    );
    setText('');
    clear();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && runs) stopAnswer();
    // Enter also ends the input of an ideograph, which sends nothing.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  const onPaste = (event: ClipboardEvent): void => {
    const files = filesOf(event.clipboardData);
    if (files.length === 0) return;
    event.preventDefault();
    void add(files);
  };
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setDragged(false);
    void add(filesOf(event.dataTransfer));
  };
  const onPick = (): void => {
    void add([...(picker.current?.files ?? [])]);
    if (picker.current !== null) picker.current.value = '';
  };
  return (
    <div
      class={dragged ? 'composer card dragged' : 'composer card'}
      onDragOver={(event) => {
        event.preventDefault();
        setDragged(true);
      }}
      onDragLeave={() => setDragged(false)}
      onDrop={onDrop}
    >
      {pictures.length === 0 ? null : <Pictures pictures={pictures} onRemove={remove} />}
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
        onPaste={onPaste}
      />
      <div class="row">
        <input ref={picker} type="file" accept="image/*" multiple hidden onChange={onPick} />
        <button
          type="button"
          aria-disabled={blind !== null}
          title={blind ?? 'Add pictures'}
          onClick={() => (blind === null ? picker.current?.click() : setProblem(blind))}
        >
          Add picture
        </button>
        <span id="composer-hint" class="hint grow">
          Drop or paste pictures. Enter sends, Shift+Enter breaks the line, Esc stops.
        </span>
        {runs ? (
          <button type="button" class="primary" onClick={stopAnswer}>
            Stop
          </button>
        ) : (
          <button type="button" class="primary" aria-disabled={!canSend} onClick={send}>
            Send
          </button>
        )}
      </div>
    </div>
  );
};
