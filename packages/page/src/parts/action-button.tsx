/** A button for something that is done at the gateway: it waits while that is under way, and says how it went. */
import { act, actionName, mayManage, pending } from '../state/store.ts';

interface ActionButtonProps {
  readonly path: string;
  readonly body: object;
  /** Said when it is done. */
  readonly done: string;
  readonly label: string;
  /** For those who don't see what it stands beside. The label is in it, for those who say what they press. */
  readonly describe: string;
}

export const ActionButton = ({ path, body, done, label, describe }: ActionButtonProps) => {
  const waits = pending.value.has(actionName(path, body));
  const title = mayManage.value ? describe : `${describe} (needs a key with admin rights)`;
  return (
    <button
      type="button"
      class="small"
      title={title}
      aria-label={describe}
      aria-busy={waits}
      // Not `disabled`: that would take the focus away from whoever pressed it.
      aria-disabled={waits}
      onClick={() => void act(path, body, done)}
    >
      {waits ? <span class="spinner" aria-hidden="true" /> : null}
      {label}
    </button>
  );
};
