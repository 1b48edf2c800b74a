/**
 * Which tokens may come next in a state of the automaton: those whose bytes it can read. Masks are found by walking the
 * vocabulary's trie and kept, so that a state met again, or one that does the same elsewhere, costs no walk.
 */
import { type Automaton, dead, unknown } from './automaton.ts';
import { StateSplitter } from './state-split.ts';
import { exhausted } from './exhausted.ts';
import type { VocabularyTrie } from './vocabulary-trie.ts';

export type TokenMask =
  /** Only these are allowed. */
  | { readonly kind: 'few'; readonly ids: Int32Array }
  /** All but these are allowed. */
  | { readonly kind: 'most'; readonly barred: Int32Array }
  /** A bit per token, 1 for allowed. */
  | { readonly kind: 'many'; readonly words: Uint32Array };

interface InnerMask {
  readonly words: Uint32Array;
  /** Trie nodes at which the inner state may have returned to its caller. */
  readonly escapes: Int32Array;
}

/** Masks kept; each takes up to a bit per token. */
const masksMax = 128;

export class TokenMasks {
  readonly #automaton: Automaton;
  readonly #trie: VocabularyTrie;
  readonly #splitter: StateSplitter;
  readonly #inner = new Map<number, InnerMask>();
  readonly #whole = new Map<string, TokenMask>();
  /** State before each depth of the walk. */
  readonly #path: Int32Array;

  constructor(automaton: Automaton, trie: VocabularyTrie) {
    this.#automaton = automaton;
    this.#trie = trie;
    this.#splitter = new StateSplitter(automaton, trie.tokenBytesMax);
    this.#path = new Int32Array(trie.tokenBytesMax + 1);
  }

  maskOf(state: number): TokenMask {
    const { inner, outer } = this.#splitter.split(state);
    const key = `${inner},${outer}`;
    const known = this.#whole.get(key);
    if (known !== undefined) return remember(this.#whole, key, known);
    const { words, escapes } = this.#innerMask(inner);
    const all = words.slice();
    if (outer !== null) {
      for (const node of escapes) {
        this.#walk(outer, node + 1, this.#trie.endOf[node] ?? 0, all, null);
      }
    }
    return remember(this.#whole, key, compact(all, this.#trie.nVocab));
  }

  #innerMask(inner: number): InnerMask {
    const known = this.#inner.get(inner);
    if (known !== undefined) return remember(this.#inner, inner, known);
    const words = new Uint32Array((this.#trie.nVocab + 31) >> 5);
    const escapes: number[] = [];
    this.#walk(inner, 0, this.#trie.nNodes, words, escapes);
    return remember(this.#inner, inner, { words, escapes: Int32Array.from(escapes) });
  }

  /** Reads the nodes of [from, to), siblings and all below them, from `state`; marks the tokens that end alive. */
  #walk(state: number, from: number, to: number, words: Uint32Array, escapes: number[] | null): void {
    if (from >= to) return;
    const automaton = this.#automaton;
    const { classOfByte, nClasses } = automaton.program;
    const { byteOf, depthOf, endOf, firstToken, tokens } = this.#trie;
    const path = this.#path;
    let { table } = automaton;
    path[depthOf[from] ?? 0] = state;
    for (let node = from; node < to;) {
      const depth = depthOf[node] ?? 0;
      const byte = byteOf[node] ?? 0;
      const before = path[depth] ?? 0;
      let next = table[before * nClasses + (classOfByte[byte] ?? 0)] ?? dead;
      if (next === unknown) {
        next = automaton.advance(before, byte);
        ({ table } = automaton);
      }
      if (next === dead) {
        node = endOf[node] ?? to;
        continue;
      }
      path[depth + 1] = next;
      if (escapes !== null && automaton.hasEscaped(next)) escapes.push(node);
      const end = firstToken[node + 1] ?? 0;
      for (let i = firstToken[node] ?? 0; i < end; i++) {
        const id = tokens[i] ?? 0;
        words[id >> 5] = (words[id >> 5] ?? 0) | (1 << (id & 31));
      }
      node++;
    }
  }
}

/** Puts the entry last, and drops the one not used for longest when there are too many. */
function remember<K, V>(cache: Map<K, V>, key: K, value: V): V {
  cache.delete(key);
  cache.set(key, value);
  if (cache.size > masksMax) {
    const [oldest] = cache.keys();
    if (oldest !== undefined) cache.delete(oldest);
  }
  return value;
}

function bitCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Lists up to this share of the vocabulary are written faster than bits are read. */
const listedShareMax = 1 / 16;

/** As a list, of what is allowed or of what is not, when one is short. */
function compact(words: Uint32Array, nVocab: number): TokenMask {
  let nAllowed = 0;
  for (const word of words) nAllowed += bitCount(word);
  if (nAllowed <= nVocab * listedShareMax) return { kind: 'few', ids: idsOf(words, nAllowed, 0) };
  const nBarred = nVocab - nAllowed;
  if (nBarred > nVocab * listedShareMax) return { kind: 'many', words };
  // The last word's bits beyond the vocabulary come last, after all `nBarred` ids.
  return { kind: 'most', barred: idsOf(words, nBarred, 0xffffffff) };
}

/** The first n ids whose bits, flipped by `flip`, are set. */
function idsOf(words: Uint32Array, n: number, flip: number): Int32Array {
  const ids = new Int32Array(n);
  let place = 0;
  for (let index = 0; index < words.length; index++) {
    for (let left = (words[index] ?? 0) ^ flip; left !== 0 && place < n; left &= left - 1) {
      ids[place++] = 32 * index + 31 - Math.clz32(left & -left);
    }
  }
  return ids;
}

/** Sets the logits of all other tokens to -Infinity, also those beyond the vocabulary of `nVocab`. */
export function applyMask(mask: TokenMask, logits: Float32Array, nVocab: number): void {
  switch (mask.kind) {
    case 'few': {
      const kept = Float32Array.from(mask.ids, (id) => logits[id] ?? -Infinity);
      logits.fill(-Infinity);
      for (let i = 0; i < kept.length; i++) logits[mask.ids[i] ?? 0] = kept[i] ?? -Infinity;
      return;
    }
    case 'most':
      for (const id of mask.barred) logits[id] = -Infinity;
      logits.fill(-Infinity, nVocab);
      return;
    case 'many':
      applyBits(mask.words, logits);
      logits.fill(-Infinity, nVocab);
      return;
    default:
      exhausted(mask);
  }
}

function applyBits(words: Uint32Array, logits: Float32Array): void {
  for (let index = 0; index < words.length; index++) {
    const first = 32 * index;
    for (let barred = ~(words[index] ?? 0); barred !== 0; barred &= barred - 1) {
      logits[first + 31 - Math.clz32(barred & -barred)] = -Infinity;
    }
  }
}
