/**
 * Which tokens may come next in a state of the automaton: those whose bytes it can read. Masks are found by walking the
 * vocabulary's trie and kept, so that a state met again, or one that does the same elsewhere, costs no walk.
 */
import type { Automaton } from './automaton.ts';
import { dead } from './automaton.ts';
import { StateSplitter } from './state-split.ts';
import type { VocabularyTrie } from './vocabulary-trie.ts';

export type TokenMask =
  /** The allowed tokens. */
  | { readonly kind: 'few'; readonly ids: Int32Array }
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
    return remember(this.#whole, key, compact(all));
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
    const { byteOf, depthOf, endOf, firstToken, tokens } = this.#trie;
    const path = this.#path;
    path[depthOf[from] ?? 0] = state;
    for (let node = from; node < to;) {
      const depth = depthOf[node] ?? 0;
      const next = automaton.advance(path[depth] ?? dead, byteOf[node] ?? 0);
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

/** As a list when that is shorter. */
function compact(words: Uint32Array): TokenMask {
  let nAllowed = 0;
  for (const word of words) nAllowed += bitCount(word);
  if (nAllowed >= words.length) return { kind: 'many', words };
  const ids = new Int32Array(nAllowed);
  let place = 0;
  words.forEach((word, index) => {
    for (let left = word; left !== 0; left &= left - 1) {
      ids[place++] = 32 * index + 31 - Math.clz32(left & -left);
    }
  });
  return { kind: 'few', ids };
}

/** Sets the logits of all other tokens to -Infinity, also those beyond the vocabulary. */
export function applyMask(mask: TokenMask, logits: Float32Array): void {
  if (mask.kind === 'few') {
    const kept = Float32Array.from(mask.ids, (id) => logits[id] ?? -Infinity);
    logits.fill(-Infinity);
    mask.ids.forEach((id, i) => {
      logits[id] = kept[i] ?? -Infinity;
    });
    return;
  }
  const { words } = mask;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0;
    if (word === 0xffffffff) continue;
    const first = 32 * index;
    if (word === 0) {
      logits.fill(-Infinity, first, first + 32);
      continue;
    }
    for (let bit = 0; bit < 32; bit++) {
      if (((word >>> bit) & 1) === 0 && first + bit < logits.length) logits[first + bit] = -Infinity;
    }
  }
  logits.fill(-Infinity, 32 * words.length);
}
