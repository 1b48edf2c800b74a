/** The keys of a GGUF file, each asked for by the type it must have. Long lists stay bytes until they are asked for. */
import { CortexError } from '@cortex/core';

/** The format's numbers for value types. */
export const ggufTypes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export type GgufEntry =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'flag'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'numbers'; readonly n: number; read(): readonly number[] }
  /** Where each string begins and ends in the header. */
  | { readonly kind: 'texts'; readonly spans: Uint32Array };

/** Longest list that is read: ten times the largest vocabulary. As JavaScript's numbers and texts it takes much more. */
export const ggufListMax = 2 ** 22;

const decoder = new TextDecoder();

export class GgufMetadata {
  /** For messages. */
  readonly file: string;
  readonly #entries: ReadonlyMap<string, GgufEntry>;
  readonly #header: Uint8Array;

  constructor(file: string, header: Uint8Array, entries: ReadonlyMap<string, GgufEntry>) {
    this.file = file;
    this.#header = header;
    this.#entries = entries;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Null where the key is absent, as in all that follow. @throws CortexError `model_load_failed` for another type. */
  text(key: string): string | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    return entry.kind === 'text' ? entry.value : this.#wrong(key, 'a text');
  }

  number(key: string): number | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    return entry.kind === 'number' ? entry.value : this.#wrong(key, 'a number');
  }

  flag(key: string): boolean | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    return entry.kind === 'flag' ? entry.value : this.#wrong(key, 'a truth value');
  }

  /** A list; one number is a list of one, truth values are 1 and 0. */
  numbers(key: string): readonly number[] | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (entry.kind === 'number') return [entry.value];
    if (entry.kind !== 'numbers') return this.#wrong(key, 'a list of numbers');
    if (entry.n > ggufListMax) return this.#wrong(key, `a list of at most ${ggufListMax} numbers; it has ${entry.n}`);
    return entry.read();
  }

  texts(key: string): readonly string[] | null {
    const spans = this.#spans(key);
    if (spans === null) return null;
    return Array.from({ length: spans.length / 2 }, (_, i) =>
      decoder.decode(this.#header.subarray(spans[2 * i], spans[2 * i + 1])),
    );
  }

  /** Null where the list is absent or shorter. */
  textAt(key: string, i: number): string | null {
    const spans = this.#spans(key);
    const start = spans?.[2 * i];
    const end = spans?.[2 * i + 1];
    return start === undefined || end === undefined ? null : decoder.decode(this.#header.subarray(start, end));
  }

  nTexts(key: string): number {
    return (this.#spans(key)?.length ?? 0) / 2;
  }

  /** Position of a text in a list; -1 where it is not. */
  indexOfText(key: string, text: string): number {
    const spans = this.#spans(key) ?? new Uint32Array(0);
    const wanted = new TextEncoder().encode(text);
    for (let i = 0; i < spans.length; i += 2) {
      const [start = 0, end = 0] = [spans[i], spans[i + 1]];
      if (end - start === wanted.length && wanted.every((byte, j) => this.#header[start + j] === byte)) return i / 2;
    }
    return -1;
  }

  /** @throws CortexError `model_load_failed` where the key is absent, too. */
  needNumber(key: string): number {
    return this.number(key) ?? this.#missing(key);
  }

  needText(key: string): string {
    return this.text(key) ?? this.#missing(key);
  }

  #spans(key: string): Uint32Array | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    return entry.kind === 'texts' ? entry.spans : this.#wrong(key, 'a list of texts');
  }

  #wrong(key: string, wanted: string): never {
    throw new CortexError('model_load_failed', `${this.file}: ${key} is not ${wanted}`);
  }

  #missing(key: string): never {
    throw new CortexError('model_load_failed', `${this.file}: ${key} is missing`);
  }
}
