/**
 * How deep a body nests, before it is parsed: V8 takes seconds for a few megabytes of brackets, in which nobody else is
 * served, and what it returns is too deep to be written again. Strings are skipped, long ones natively.
 */

const quote = 0x22;
const backslash = 0x5c;
/** Strings longer than this are searched for their end natively, which has a price of its own. */
const shortString = 64;

/** `start` is behind an opening quote; returns the index of the closing one, or the length when there is none. */
const endOfString = (json: Buffer, start: number): number => {
  const near = Math.min(json.length, start + shortString);
  let at = start;
  for (; at < near; at += 1) {
    const byte = json[at];
    if (byte === quote) return at;
    if (byte === backslash) at += 1;
  }
  for (;;) {
    const end = json.indexOf(quote, at);
    if (end < 0) return json.length;
    let escapes = 0;
    while (end - 1 - escapes >= at && json[end - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return end;
    at = end + 1;
  }
};

/** Whether arrays and objects stand more than `depthMax` inside each other. Of bytes that are no JSON, any answer. */
export const isDeeperThan = (json: Buffer, depthMax: number): boolean => {
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === quote) at = endOfString(json, at + 1);
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1;
  }
  return false;
};
