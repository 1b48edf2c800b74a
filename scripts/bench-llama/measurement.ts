/** One line of a comparison, and what it must reach. */
import { execFileSync } from 'node:child_process';

export interface Bar {
  readonly kind: 'at_least' | 'at_most';
  readonly value: number;
}

export interface Measurement {
  /** Shape and weights, such as `qwen3-0.6b q4_K`. */
  readonly model: string;
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  /** What `ours` is held against, and what that is; null for a value that stands alone. */
  readonly other: { readonly name: string; readonly value: number } | null;
  /** On `ours / other`, or on `ours` where it stands alone; null for values that are only told. */
  readonly bar: Bar | null;
}

const ratioOf = ({ ours, other }: Measurement): number => (other === null ? ours : ours / other.value);

export const isReached = (measurement: Measurement): boolean | null => {
  const { bar } = measurement;
  if (bar === null) return null;
  const ratio = ratioOf(measurement);
  return bar.kind === 'at_least' ? ratio >= bar.value : ratio <= bar.value;
};

const digits = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);

const barText = (bar: Bar | null): string =>
  bar === null ? '' : `${bar.kind === 'at_least' ? '≥' : '≤'} ${String(bar.value)}`;

const verdict = (reached: boolean | null): string => (reached === null ? '' : reached ? 'yes' : 'NO');

/** A row for `console.table`. */
export const tableRow = (measurement: Measurement): Readonly<Record<string, string>> => {
  const { model, name, unit, ours, other, bar } = measurement;
  return {
    model,
    measured: `${name} (${unit})`,
    ours: digits(ours),
    against: other === null ? '' : `${digits(other.value)} ${other.name}`,
    ratio: other === null ? '' : ratioOf(measurement).toFixed(3),
    bar: barText(bar),
    reached: verdict(isReached(measurement)),
  };
};

export const asJson = (measurements: readonly Measurement[]): string =>
  JSON.stringify(
    measurements.map((measurement) => ({
      ...measurement,
      ratio: ratioOf(measurement),
      reached: isReached(measurement),
    })),
    null,
    2,
  );

/** Memory that a process has in use now. */
export const rssMb = (pid: number): number =>
  Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }).trim()) / 1024;
