/** Asks for the API key. It is kept for this tab, sent in a header, and never part of an address. */
import { useEffect, useRef } from 'preact/hooks';
import { apiKey, keyDialog, useKey } from '../state/store.ts';

/** By the person. Not at the `close` event: that comes late, and may meet a dialog that is open again. */
const close = (): void => {
  keyDialog.value = null;
};

export const KeyDialog = () => {
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const why = keyDialog.value;
  useEffect(() => {
    if (why === null) dialog.current?.close();
    else if (dialog.current?.open === false) dialog.current.showModal();
  }, [why]);
  const submit = (event: Event): void => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? '';
    if (input.current !== null) input.current.value = '';
    useKey(key === '' ? null : key);
  };
  return (
    <dialog ref={dialog} class="key-dialog" aria-labelledby="key-title" onCancel={close}>
      <form onSubmit={submit}>
        <h2 id="key-title">API key</h2>
        <p>{why}</p>
        <label>
          Key
          <input ref={input} type="password" name="key" autocomplete="off" spellcheck={false} autofocus />
        </label>
        <p class="hint">Kept for this tab only, and sent nowhere but to this gateway.</p>
        <div class="row end">
          {apiKey.value === null ? null : (
            <button type="button" onClick={() => useKey(null)}>
              Forget it
            </button>
          )}
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Use key
          </button>
        </div>
      </form>
    </dialog>
  );
};
