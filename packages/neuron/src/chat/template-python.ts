/**
 * The Python that chat templates are written against, where the Jinja library differs from it: `strip` with a set of
 * characters, how values print, what equals what, `strftime`. Prompt ids depend on each of these.
 */

import type { TemplateValue } from './template-library.ts';

/** `str.isspace`: JavaScript's white space without the BOM, and the separators U+001C to U+001F and U+0085. */
const pythonSpace =
  '\t\n\v\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009' +
  '\u200a\u2028\u2029\u202f\u205f\u3000';

export type StripSide = 'strip' | 'lstrip' | 'rstrip';

/** `str.strip`, `lstrip`, `rstrip`: `chars` is a set of characters, white space by default. */
export const pythonStrip = (text: string, side: StripSide, chars?: string | null): string => {
  const set = new Set(chars ?? pythonSpace);
  let start = 0;
  let end = text.length;
  if (side !== 'rstrip') {
    while (start < end) {
      const char = String.fromCodePoint(text.codePointAt(start) ?? 0);
      if (!set.has(char)) break;
      start += char.length;
    }
  }
  if (side !== 'lstrip') {
    while (end > start) {
      const isPair = end - start >= 2 && (text.codePointAt(end - 2) ?? 0) > 0xffff;
      const char = text.slice(isPair ? end - 2 : end - 1, end);
      if (!set.has(char)) break;
      end -= char.length;
    }
  }
  return text.slice(start, end);
};

const isList = (value: TemplateValue): value is { type: string; value: TemplateValue[] } => Array.isArray(value.value);
const isMapping = (value: TemplateValue): value is { type: string; value: Map<string, TemplateValue> } =>
  value.value instanceof Map;

/** Shortest digits that read back, with Python's exponents: `1.0`, `1e-07`, `1e+16`. */
const floatText = (value: number): string => {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const [digits = '', exponent = ''] = value.toExponential().split('e');
  const power = Number(exponent);
  if (power < -4 || power >= 16) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  if (Object.is(value, -0)) return '-0.0';
  return Number.isInteger(value) ? `${value}.0` : String(value);
};

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const hexEscape = (char: string): string => {
  const code = char.codePointAt(0) ?? 0;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
};

const quoted = (text: string): string => {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text
    .replaceAll(/[\\\n\r\t]/g, (char) => escapes[char] ?? char)
    .replaceAll(quote, `\\${quote}`)
    .replaceAll(/(?! )[\p{C}\p{Z}]/gu, hexEscape);
  return `${quote}${body}${quote}`;
};

/** `repr(value)`. */
const pythonRepr = (value: TemplateValue): string =>
  typeof value.value === 'string' ? quoted(value.value) : pythonText(value);

/** `str(value)`: what `{{ value }}` prints. An undefined variable prints nothing. */
export const pythonText = (value: TemplateValue): string => {
  switch (value.type) {
    case 'StringValue':
      return String(value.value);
    case 'UndefinedValue':
      return '';
    case 'NullValue':
      return 'None';
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False';
    case 'FloatValue':
      return floatText(Number(value.value));
    default:
  }
  if (isList(value)) {
    const items = value.value.map(pythonRepr);
    if (value.type === 'TupleValue') return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
    return `[${items.join(', ')}]`;
  }
  if (isMapping(value)) {
    return `{${[...value.value].map(([key, item]) => `${quoted(key)}: ${pythonRepr(item)}`).join(', ')}}`;
  }
  return String(value.value);
};

const isNumber = (value: TemplateValue): boolean =>
  value.type === 'IntegerValue' || value.type === 'FloatValue' || value.type === 'BooleanValue';

/** `a == b`: numbers and booleans by value, containers by content, nothing across other types. */
export const pythonEquals = (a: TemplateValue, b: TemplateValue): boolean => {
  if (a === b) return true;
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (isList(a) && isList(b)) {
    const others = b.value;
    return (
      a.value.length === others.length &&
      a.value.every((item, i) => {
        const other = others[i];
        return other !== undefined && pythonEquals(item, other);
      })
    );
  }
  if (isMapping(a) && isMapping(b)) {
    const others = b.value;
    return (
      a.value.size === others.size &&
      [...a.value].every(([key, item]) => {
        const other = others.get(key);
        return other !== undefined && pythonEquals(item, other);
      })
    );
  }
  return a.type === b.type && a.value === b.value;
};

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;

const dayOfYear = (date: Date): number =>
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) / 864e5,
  );

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** `date.strftime(format)` in local time and the C locale; directives it does not know stay as they are. */
export const strftime = (date: Date, format: string): string => {
  const day = days[date.getDay()] ?? '';
  const month = months[date.getMonth()] ?? '';
  const directives: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: pad(date.getFullYear() % 100),
    m: pad(date.getMonth() + 1),
    d: pad(date.getDate()),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: pad(date.getHours()),
    I: pad(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    M: pad(date.getMinutes()),
    S: pad(date.getSeconds()),
    j: pad(dayOfYear(date), 3),
    '%': '%',
  };
  return format.replaceAll(/%(.)/g, (whole, directive: string) => directives[directive] ?? whole);
};
