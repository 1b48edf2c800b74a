/**
 * How characters are written inside a JSON string, as byte sequences: those that must be escaped in their shortest
 * form, all others as they are; on request every escape JSON knows, surrogate pairs always whole.
 */
import { characters, codePointSet, contains, subtract, union, type CodePointSet } from './code-points.ts';
import { utf8Sequences, type ByteRange, type ByteSequence } from './utf8-ranges.ts';

const controls = codePointSet([[0, 0x1f]]);
const mustEscape = union(controls, characters('"\\'));
/** Letter after the backslash, by code point. */
const shortEscapes: readonly (readonly [codePoint: number, letter: string])[] = [
  [0x22, '"'],
  [0x5c, '\\'],
  [0x08, 'b'],
  [0x0c, 'f'],
  [0x0a, 'n'],
  [0x0d, 'r'],
  [0x09, 't'],
];

const oneOf = (ascii: string): readonly ByteRange[] =>
  Array.from(ascii, (character): ByteRange => [character.charCodeAt(0), character.charCodeAt(0)]);
const backslash = oneOf('\\');

/** `\u` and four hexadecimal digits, each between two values, in either case. */
function unicodeEscape(...digits: readonly (readonly [low: number, high: number])[]): ByteSequence {
  const hex = digits.map(([low, high]) => {
    const allowed = Array.from({ length: high - low + 1 }, (_, i) => (low + i).toString(16)).join('');
    return oneOf(allowed + allowed.replaceAll(/[0-9]/g, '').toUpperCase());
  });
  return [backslash, oneOf('u'), ...hex];
}

const any = [0, 15] as const;
const everyEscape: readonly ByteSequence[] = [
  [backslash, oneOf('"\\/bfnrt')],
  unicodeEscape([0, 12], any, any, any),
  unicodeEscape([13, 13], [0, 7], any, any),
  unicodeEscape([14, 15], any, any, any),
  [...unicodeEscape([13, 13], [8, 11], any, any), ...unicodeEscape([13, 13], [12, 15], any, any)],
];

/** Every way to write one character of `set`; `freely`: also by escapes it does not need (then `set` is everything). */
export function jsonTextSequences(set: CodePointSet, freely: boolean): ByteSequence[] {
  const plain = utf8Sequences(subtract(set, mustEscape));
  if (freely) return [...plain, ...everyEscape];
  const short = shortEscapes.filter(([point]) => contains(set, point)).map(([, letter]) => letter);
  const escaped: ByteSequence[] = short.length === 0 ? [] : [[backslash, oneOf(short.join(''))]];
  for (let point = 0; point < 0x20; point++) {
    if (!contains(set, point) || shortEscapes.some(([known]) => known === point)) continue;
    escaped.push(unicodeEscape([0, 0], [0, 0], [point >> 4, point >> 4], [point & 15, point & 15]));
  }
  return [...plain, ...escaped];
}
