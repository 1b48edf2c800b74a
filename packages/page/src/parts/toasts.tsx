/** What came of an action, for eyes and screen readers. */
import { dismiss, toasts } from '../state/store.ts';

export const Toasts = () => (
  <div class="toasts" role="status" aria-live="polite">
    {toasts.value.map(({ id, kind, text }) => (
      <div key={id} class={`toast ${kind}`}>
        <span>{text}</span>
        <button type="button" class="bare" aria-label="Dismiss" onClick={() => dismiss(id)}>
          ×
        </button>
      </div>
    ))}
  </div>
);
