/**
 * Text that others wrote (a node's name, a model's answer) on its way to a terminal: without the control characters by
 * which it could move the cursor, change colours or set the clipboard.
 */

// oxlint-disable-next-line no-control-regex -- these are what is looked for
const controls = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g;

/** Keeps newlines and tabs. */
export const withoutControls = (text: string): string => text.replaceAll(controls, '');

/** For a place where only one line fits. */
export const oneLine = (text: string): string => withoutControls(text.replaceAll(/\s+/g, ' ')).trim();

// oxlint-disable-next-line no-control-regex -- an escape character starts a colour
const colours = /\u001B\[[\d;]*m/g;

/** Columns it takes, colours not counted. */
export const widthOf = (text: string): number => Array.from(text.replaceAll(colours, '')).length;
