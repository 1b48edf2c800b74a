/**
 * JSON numbers within bounds, exactly. Integers have up to 20 digits. A bounded number is
 * written plainly, with 15 digits at most: so many a double tells apart, so "greater than" on the digits is "greater
 * than" after parsing.
 */
import { unsupported } from './compile-error.ts';
import { byteRange, choice, empty, never, optional, sequence, text, type Expression } from './expression.ts';

export interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

const integerDigitsMax = 20;
const decimalDigitsMax = 15;
/** The largest bounded number written. */
const plainMax = 99_999_999_999_999;
const zero = 0x30;

const digit = (low: number, high: number): Expression => byteRange([zero + low, zero + high]);
const anyDigits = (n: number): Expression => sequence(...Array.from({ length: n }, () => digit(0, 9)));

/** At most n digits, perhaps none. */
function upToDigits(n: number): Expression {
  let expression: Expression = empty;
  for (let i = 0; i < n; i++) expression = optional(sequence(digit(0, 9), expression));
  return expression;
}

/** Digit strings between two of one length, both included. */
function between(low: string, high: string): Expression {
  if (/^0*$/.test(low) && /^9*$/.test(high)) return anyDigits(low.length);
  const first = Number(low[0]);
  const last = Number(high[0]);
  const rest = low.length - 1;
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return sequence(digit(first, first), between(lowRest, highRest));
  const options = [
    sequence(digit(first, first), between(lowRest, '9'.repeat(rest))),
    sequence(digit(last, last), between('0'.repeat(rest), highRest)),
  ];
  if (last - first > 1) options.push(sequence(digit(first + 1, last - 1), anyDigits(rest)));
  return choice(...options);
}

/** Whole numbers from low to high, both at least zero, without leading zeros. */
function wholes(low: bigint, high: bigint): Expression {
  if (low > high) return never;
  const options: Expression[] = [];
  const [from, to] = [String(low), String(high)];
  for (let length = from.length; length <= to.length; length++) {
    const least = length === from.length ? from : `1${'0'.repeat(length - 1)}`;
    const most = length === to.length ? to : '9'.repeat(length);
    options.push(between(least, most));
  }
  return choice(...options);
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** The integers that satisfy both bounds; "-0" is left out, and so is what has more than 20 digits. */
export function boundedInteger(min: Bound | null, max: Bound | null): Expression {
  const widest = 10n ** BigInt(integerDigitsMax) - 1n;
  const least = min === null ? -widest : larger(-widest, integerAtLeast(min));
  const most = max === null ? widest : -larger(-widest, integerAtLeast({ ...max, value: -max.value }));
  return choice(wholes(larger(least, 0n), most), sequence(text('-'), wholes(larger(-most, 1n), -least)));
}

const integerAtLeast = ({ value, exclusive }: Bound): bigint =>
  exclusive ? BigInt(Math.floor(value)) + 1n : BigInt(Math.ceil(value));

/** Any JSON number a double holds: a bounded number of digits, so that it ends. */
export const freeNumber: Expression = sequence(
  optional(text('-')),
  choice(digit(0, 0), sequence(digit(1, 9), upToDigits(integerDigitsMax - 1))),
  optional(sequence(text('.'), digit(0, 9), upToDigits(integerDigitsMax - 1))),
  optional(
    sequence(byteRange([0x45, 0x45], [0x65, 0x65]), optional(choice(text('+'), text('-'))), digit(0, 9), upToDigits(1)),
  ),
);

/** A magnitude: whole digits and fraction digits. */
interface Decimal {
  readonly whole: bigint;
  readonly fraction: string;
}

interface Limit {
  readonly at: Decimal;
  readonly exclusive: boolean;
}

/** The shortest decimal that reads back as |value|, written out; it has at most 15 digits. */
function decimalOf(value: number, keyword: string, path: string): Decimal {
  if (Math.abs(value) > plainMax) throw unsupported(keyword, path, `${value} is too large`);
  const [mantissa = '0', exponent = '0'] = String(Math.abs(value)).split('e');
  const [whole = '0', fraction = ''] = mantissa.split('.');
  const shift = Number(exponent);
  const all = whole + fraction;
  const point = whole.length + shift;
  const digits = point < 0 ? '0'.repeat(-point) + all : all.padEnd(point, '0');
  const decimal = {
    whole: BigInt(digits.slice(0, Math.max(0, point)) || '0'),
    fraction: digits.slice(Math.max(0, point)),
  };
  if (String(decimal.whole).length + decimal.fraction.length > decimalDigitsMax) {
    throw unsupported(keyword, path, `${value} needs more than ${decimalDigitsMax} digits`);
  }
  return decimal;
}

const isZero = (digits: string): boolean => /^0*$/.test(digits);

/** What may follow the whole digits: the fractions between two, each null or up to n digits long. */
function fractions(low: Limit | null, high: Limit | null, n: number): Expression {
  const lowDigits = (low?.at.fraction ?? '').padEnd(n, '0');
  const highDigits = (high?.at.fraction ?? '').padEnd(n, '0');
  /** Digits from place i on; `atLow`, `atHigh`: all before were equal to that limit's. `mayEnd`: none is needed. */
  const from = (i: number, atLow: boolean, atHigh: boolean, mayEnd: boolean): Expression => {
    if (!atLow && !atHigh) return mayEnd ? upToDigits(n - i) : sequence(digit(0, 9), upToDigits(n - i - 1));
    const options: Expression[] = [];
    const reachesLow = !atLow || (isZero(lowDigits.slice(i)) && low?.exclusive !== true);
    const staysBelow = !atHigh || !isZero(highDigits.slice(i)) || high?.exclusive !== true;
    if (mayEnd && reachesLow && staysBelow) options.push(empty);
    if (i < n) {
      const first = atLow ? Number(lowDigits[i]) : 0;
      const last = atHigh ? Number(highDigits[i]) : 9;
      for (const edge of new Set([first, last])) {
        const [onLow, onHigh] = [atLow && edge === first, atHigh && edge === last];
        if (first > last || (!onLow && !onHigh)) continue;
        options.push(sequence(digit(edge, edge), from(i + 1, onLow, onHigh, true)));
      }
      const inner = [atLow ? first + 1 : first, atHigh ? last - 1 : last] as const;
      if (inner[0] <= inner[1]) options.push(sequence(digit(...inner), upToDigits(n - i - 1)));
    }
    return choice(...options);
  };
  const withPoint = n === 0 ? never : sequence(text('.'), from(0, low !== null, high !== null, false));
  const withoutPoint =
    (low === null || (isZero(lowDigits) && !low.exclusive)) &&
    (high === null || !isZero(highDigits) || !high.exclusive);
  return withoutPoint ? optional(withPoint) : withPoint;
}

/** How many fraction digits may follow this whole number. */
const fractionDigits = (whole: bigint): number => decimalDigitsMax - String(whole).length;

/** Magnitudes between two limits. */
function magnitudes(low: Limit, high: Limit): Expression {
  const [from, to] = [low.at.whole, high.at.whole];
  if (from > to) return never;
  if (from === to) return sequence(wholes(from, from), fractions(low, high, fractionDigits(from)));
  const options = [
    sequence(wholes(from, from), fractions(low, null, fractionDigits(from))),
    sequence(wholes(to, to), fractions(null, high, fractionDigits(to))),
  ];
  // In between, by number of whole digits: the fewer, the more are left for the fraction.
  for (let first = from + 1n; first < to; first = 10n ** BigInt(String(first).length)) {
    const last = 10n ** BigInt(String(first).length) - 1n;
    options.push(sequence(wholes(first, last < to ? last : to - 1n), fractions(null, null, fractionDigits(first))));
  }
  return choice(...options);
}

/** The numbers that satisfy both bounds; `path` names the schema for the error when a bound is too fine. */
export function boundedNumber(min: Bound | null, max: Bound | null, path: string): Expression {
  if (min === null && max === null) return freeNumber;
  const origin: Decimal = { whole: 0n, fraction: '' };
  const largest: Limit = { at: { whole: BigInt(plainMax), fraction: '' }, exclusive: false };
  const limit = (bound: Bound, keyword: string): Limit => ({
    at: decimalOf(bound.value, keyword, path),
    exclusive: bound.exclusive,
  });
  // A bound beyond what is written plainly leaves that as the bound.
  const high = max === null || max.value > plainMax ? largest : limit(max, 'maximum');
  const low = min === null || min.value < -plainMax ? largest : limit(min, 'minimum');
  const options: Expression[] = [];
  if (max === null || max.value >= 0) {
    options.push(magnitudes(min !== null && min.value >= 0 ? low : { at: origin, exclusive: false }, high));
  }
  if (min === null || min.value < 0) {
    // "-0" is left out: a negative magnitude is above zero.
    options.push(
      sequence(text('-'), magnitudes(max !== null && max.value < 0 ? high : { at: origin, exclusive: true }, low)),
    );
  }
  return choice(...options);
}
