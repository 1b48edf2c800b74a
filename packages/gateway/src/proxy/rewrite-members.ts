/**
 * Replaces top-level members of a JSON object in its own bytes. Everything else stays as the client wrote it:
 * number precision, member order, escapes, spacing. The bytes must already have passed `JSON.parse` as an object.
 */

const quote = 0x22;
const backslash = 0x5c;
const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

const skipSpaces = (json: Buffer, start: number): number => {
  let at = start;
  while (isSpace(json[at])) at += 1;
  return at;
};

/** `start` is an opening quote; returns the index after the closing one. Long strings are skipped natively. */
const skipString = (json: Buffer, start: number): number => {
  let end = start;
  for (;;) {
    end = json.indexOf(quote, end + 1);
    if (end < 0) return json.length;
    let escapes = 0;
    while (json[end - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
};

const skipValue = (json: Buffer, start: number): number => {
  let depth = 0;
  let at = start;
  while (at < json.length) {
    const byte = json[at];
    if (byte === quote) {
      at = skipString(json, at);
      if (depth === 0) return at;
      continue;
    }
    if (byte === 0x7b || byte === 0x5b) depth += 1;
    else if (byte === 0x7d || byte === 0x5d) {
      // At depth 0 this bracket closes the object around the value.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (byte === 0x2c || isSpace(byte))) return at;
    at += 1;
  }
  return at;
};

interface Member {
  readonly key: string;
  readonly valueStart: number;
  readonly valueEnd: number;
}

function* members(json: Buffer): Generator<Member> {
  let at = skipSpaces(json, json.indexOf(0x7b) + 1);
  while (json[at] === quote) {
    const keyEnd = skipString(json, at);
    const key = JSON.parse(json.toString('utf8', at, keyEnd)) as string;
    const valueStart = skipSpaces(json, json.indexOf(0x3a, keyEnd) + 1);
    const valueEnd = skipValue(json, valueStart);
    yield { key, valueStart, valueEnd };
    at = skipSpaces(json, valueEnd);
    if (json[at] === 0x2c) at = skipSpaces(json, at + 1);
  }
}

const membersText = (values: ReadonlyMap<string, string>): string =>
  [...values].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',');

/** For keys that are known not to be there, in an object that has members: nothing of it is looked at. */
export const prependMembers = (json: Buffer, values: ReadonlyMap<string, string>): Buffer => {
  const open = json.indexOf(0x7b) + 1;
  return Buffer.concat([json.subarray(0, open), Buffer.from(`${membersText(values)},`), json.subarray(open)]);
};

/** `values` maps keys to JSON text. Keys that are not there are put first; a key written twice is replaced twice. */
export const rewriteMembers = (json: Buffer, values: ReadonlyMap<string, string>): Buffer => {
  const pieces: (Buffer | string)[] = [];
  const missing = new Map(values);
  const open = json.indexOf(0x7b) + 1;
  let copied = open;
  let nMembers = 0;
  for (const member of members(json)) {
    nMembers += 1;
    const value = values.get(member.key);
    if (value === undefined) continue;
    missing.delete(member.key);
    pieces.push(json.subarray(copied, member.valueStart), value);
    copied = member.valueEnd;
  }
  const added = membersText(missing);
  const comma = added !== '' && nMembers > 0 ? ',' : '';
  const all = [json.subarray(0, open), added + comma, ...pieces, json.subarray(copied)];
  return Buffer.concat(all.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
};
