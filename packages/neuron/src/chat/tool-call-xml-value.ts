/**
 * Where the value of an XML parameter ends. Values are raw text, often code that holds such tags itself, so a tag
 * counts only at the start of a line and with another structural tag behind it; a whole call inside a value is text.
 * A value on the same line as its opening tag may be closed on any line's middle.
 */
import { matchAny, matchSteps, SPACE, type Step } from './output-lookahead.ts';
import { CALL_CLOSE, CALL_OPEN } from './tool-call-format.ts';

const NAME: Step = { capture: /[^<>\n]/ };
export const FUNCTION_HEAD: readonly Step[] = ['<function=', NAME, '>'];
export const PARAMETER_HEAD: readonly Step[] = ['<parameter=', NAME, '>'];
const CALL_HEADS: readonly (readonly Step[])[] = [[CALL_OPEN, SPACE, ...FUNCTION_HEAD], FUNCTION_HEAD];
export const FUNCTION_CLOSE = '</function>';
const PARAMETER_CLOSE = '</parameter>';

type Alternatives = readonly (readonly Step[])[];
const AFTER_PARAMETER: Alternatives = [
  [SPACE, '<parameter='],
  [SPACE, FUNCTION_CLOSE],
  [SPACE, CALL_CLOSE],
  [SPACE, CALL_OPEN],
];
const AFTER_FUNCTION: Alternatives = [
  [SPACE, CALL_CLOSE],
  [SPACE, CALL_OPEN],
];
const AFTER_CALL: Alternatives = [[SPACE, CALL_OPEN]];

/** How far a value was searched: the next search goes on from there. */
export class ValueCursor {
  at = 0;
  /** The calls open within the value, outermost first: whether each began with `<tool_call>`. */
  readonly open: boolean[] = [];
  /** Whether the value held any call. */
  sawCall = false;
  readonly nesting: boolean;

  constructor(options: { readonly nesting: boolean } = { nesting: true }) {
    this.nesting = options.nesting;
  }
}

/** The value is `text.slice(0, end)`, reading goes on at `next`; they are equal when its closing tag is missing. */
export interface ValueEnd {
  readonly end: number;
  readonly next: number;
}

type Verdict = ValueEnd | 'text' | 'undecided';

/** A structural tag, if one of `followers` stands behind it; at the end of all text, also if nothing does. */
const ifFollowed = (text: string, end: number, followers: Alternatives, isFinal: boolean, found: ValueEnd): Verdict => {
  const follower = matchAny(text, end, followers);
  if (follower.kind === 'match') return found;
  if (follower.kind === 'no') return 'text';
  return isFinal ? found : 'undecided';
};

/** A tag that may be cut off: `undecided` until more comes, plain text when no more will. */
const unfinished = (isFinal: boolean): Verdict => (isFinal ? 'text' : 'undecided');

const judgeTag = (
  text: string,
  at: number,
  cursor: ValueCursor,
  isMissing: (name: string) => boolean,
  isFinal: boolean,
): Verdict => {
  const here = { end: at, next: at };
  const close = matchSteps(text, at, [PARAMETER_CLOSE]);
  if (close.kind === 'match')
    return ifFollowed(text, close.end, AFTER_PARAMETER, isFinal, { end: at, next: close.end });
  const head = matchSteps(text, at, PARAMETER_HEAD);
  if (head.kind === 'match') return isMissing((head.captured[0] ?? '').trim()) ? here : 'text';
  const functionClose = matchSteps(text, at, [FUNCTION_CLOSE]);
  if (functionClose.kind === 'match') return ifFollowed(text, functionClose.end, AFTER_FUNCTION, isFinal, here);
  const callClose = matchSteps(text, at, [CALL_CLOSE]);
  if (callClose.kind === 'match') {
    // Two closing tags are missing before it, if it is ours: no guess once the value held calls of its own.
    return cursor.sawCall ? 'text' : ifFollowed(text, callClose.end, AFTER_CALL, isFinal, here);
  }
  return [close, head, functionClose, callClose].some((found) => found.kind === 'partial')
    ? unfinished(isFinal)
    : 'text';
};

type Nesting = { readonly kind: 'ours' | 'undecided' } | { readonly kind: 'text'; readonly end: number };

/**
 * Follows calls that open and close within the value. `text`: the tag at `at`, to `end`, belongs to one of them;
 * `ours`: it is still to be judged.
 */
const judgeNesting = (text: string, at: number, cursor: ValueCursor, isFinal: boolean): Nesting => {
  const head = matchAny(text, at, CALL_HEADS);
  if (head.kind === 'match') {
    cursor.open.push(text.startsWith(CALL_OPEN, at));
    cursor.sawCall = true;
    return { kind: 'text', end: head.end };
  }
  if (head.kind === 'partial' && !isFinal) return { kind: 'undecided' };
  const isTagged = cursor.open.at(-1);
  if (isTagged === undefined) return { kind: 'ours' };
  const close = matchSteps(text, at, [FUNCTION_CLOSE]);
  const closeTagged = isTagged ? matchSteps(text, at, [FUNCTION_CLOSE, SPACE, CALL_CLOSE]) : close;
  if ((close.kind === 'partial' || closeTagged.kind === 'partial') && !isFinal) return { kind: 'undecided' };
  if (close.kind !== 'match') return { kind: 'text', end: at + 1 };
  cursor.open.pop();
  return { kind: 'text', end: closeTagged.kind === 'match' ? closeTagged.end : close.end };
};

/**
 * @param text everything since the parameter's opening tag.
 * @param cursor where the last search of the same text stopped; moved on.
 * @param isMissing whether a parameter of this name may still follow.
 * @param isFinal no more text will come.
 * @returns null while the value goes on.
 */
export const findValueEnd = (
  text: string,
  cursor: ValueCursor,
  isMissing: (name: string) => boolean,
  isFinal: boolean,
): ValueEnd | null => {
  const isInline = !text.startsWith('\n');
  for (let at = text.indexOf('<', cursor.at); at >= 0; at = text.indexOf('<', cursor.at)) {
    cursor.at = at;
    const isLineStart = text[at - 1] === '\n';
    const nesting: Nesting = cursor.nesting && isLineStart ? judgeNesting(text, at, cursor, isFinal) : { kind: 'ours' };
    if (nesting.kind === 'undecided') return null;
    const isOurs = nesting.kind === 'ours' && cursor.open.length === 0 && (isLineStart || isInline);
    const verdict = isOurs ? judgeTag(text, at, cursor, isMissing, isFinal) : 'text';
    if (typeof verdict === 'object') return verdict;
    if (verdict === 'undecided') return null;
    cursor.at = nesting.kind === 'text' ? nesting.end : at + 1;
  }
  cursor.at = text.length;
  return null;
};

/** The value proper: exactly one newline less at either end, and none of a closing tag in the middle of its last line. */
export const valueText = (text: string, closingTagMissing: boolean): string => {
  const trimmed = text.trimEnd();
  const hasMisplacedTag = closingTagMissing && trimmed.endsWith(PARAMETER_CLOSE);
  const value = hasMisplacedTag ? trimmed.slice(0, -PARAMETER_CLOSE.length) : text;
  const start = value.startsWith('\n') ? 1 : 0;
  const end = value.endsWith('\n') && value.length > start ? value.length - 1 : value.length;
  return value.slice(start, end);
};
