/**
 * A model's vocabulary as a trie over bytes, built once per model: flat arrays in depth-first order, so that walking it
 * is a scan in which a dead branch is one jump. Control tokens and tokens without bytes are left out.
 */

/** The bytes of every token; plain data, it crosses threads. */
export interface VocabularyTable {
  /** All tokens' bytes, one after another. */
  readonly bytes: Uint8Array;
  /** nVocab + 1 places in `bytes`: token i is `bytes[offsets[i] … offsets[i + 1])`. */
  readonly offsets: Uint32Array;
  /** 1 for control tokens, which are never text. */
  readonly control: Uint8Array;
}

/** What building a trie makes: plain data, so that one thread can build it for another. */
export type TrieArrays = Pick<
  VocabularyTrie,
  'tokenBytesMax' | 'nNodes' | 'byteOf' | 'depthOf' | 'endOf' | 'firstToken' | 'tokens'
>;

export class VocabularyTrie {
  readonly nVocab: number;
  /** Length of the longest token, in bytes. */
  readonly tokenBytesMax: number;
  readonly nNodes: number;
  /** Per node: the byte that leads to it, how many bytes come before that one, the first node that is not below it. */
  readonly byteOf: Uint8Array;
  readonly depthOf: Uint16Array;
  readonly endOf: Int32Array;
  /** Tokens that end at node i: `tokens[firstToken[i] … firstToken[i + 1])`. */
  readonly firstToken: Int32Array;
  readonly tokens: Int32Array;
  readonly #table: VocabularyTable;

  /** @param built of the same table, where another thread has built it: half a second for a large vocabulary. */
  constructor(table: VocabularyTable, built: TrieArrays | null = null) {
    this.#table = table;
    const { offsets, control } = table;
    this.nVocab = offsets.length - 1;
    if (built !== null) {
      this.tokenBytesMax = built.tokenBytesMax;
      this.nNodes = built.nNodes;
      this.byteOf = built.byteOf;
      this.depthOf = built.depthOf;
      this.endOf = built.endOf;
      this.firstToken = built.firstToken;
      this.tokens = built.tokens;
      return;
    }
    const lengthOf = (id: number): number => (offsets[id + 1] ?? 0) - (offsets[id] ?? 0);
    const ids: number[] = [];
    let longest = 0;
    for (let id = 0; id < this.nVocab; id++) {
      if (control[id] === 1 || lengthOf(id) === 0) continue;
      ids.push(id);
      longest = Math.max(longest, lengthOf(id));
    }
    this.tokenBytesMax = longest;
    this.tokens = sortedByBytes(ids, table);

    const shared = this.#sharedPrefixes(longest);
    this.nNodes = shared.reduce((total, prefix, index) => total + lengthOf(this.tokens[index] ?? 0) - prefix, 0);
    this.byteOf = new Uint8Array(this.nNodes);
    this.depthOf = new Uint16Array(this.nNodes);
    this.endOf = new Int32Array(this.nNodes);
    this.firstToken = new Int32Array(this.nNodes + 1);
    this.#build(shared, longest);
  }

  get arrays(): TrieArrays {
    const { tokenBytesMax, nNodes, byteOf, depthOf, endOf, firstToken, tokens } = this;
    return { tokenBytesMax, nNodes, byteOf, depthOf, endOf, firstToken, tokens };
  }

  /** The bytes of a token; empty for ids outside the vocabulary. */
  bytesOf(id: number): Uint8Array {
    const { bytes, offsets } = this.#table;
    return bytes.subarray(offsets[id] ?? 0, offsets[id + 1] ?? offsets[id] ?? 0);
  }

  isControl(id: number): boolean {
    return this.#table.control[id] === 1;
  }

  /** How many leading bytes each token, in order, has in common with the one before. */
  #sharedPrefixes(longest: number): Uint16Array {
    if (longest > 0xffff) throw new RangeError(`a token of ${longest} bytes`);
    const shared = new Uint16Array(this.tokens.length);
    for (let index = 1; index < this.tokens.length; index++) {
      const before = this.bytesOf(this.tokens[index - 1] ?? 0);
      const bytes = this.bytesOf(this.tokens[index] ?? 0);
      let length = 0;
      while (length < bytes.length && length < before.length && bytes[length] === before[length]) length++;
      shared[index] = length;
    }
    return shared;
  }

  #build(shared: Uint16Array, longest: number): void {
    const open = new Int32Array(longest + 1);
    let depth = 0;
    let node = 0;
    const close = (to: number): void => {
      while (depth > to) this.endOf[open[--depth] ?? 0] = node;
    };
    for (let index = 0; index < this.tokens.length; index++) {
      const bytes = this.bytesOf(this.tokens[index] ?? 0);
      close(shared[index] ?? 0);
      for (; depth < bytes.length; node++) {
        this.byteOf[node] = bytes[depth] ?? 0;
        this.depthOf[node] = depth;
        this.firstToken[node] = index;
        open[depth++] = node;
      }
    }
    close(0);
    // A node's tokens are those that end at it: they come first in its branch, so the next node's begin after them.
    this.firstToken[node] = this.tokens.length;
  }
}

function sortedByBytes(ids: readonly number[], { bytes, offsets }: VocabularyTable): Int32Array {
  const compare = (a: number, b: number): number => {
    let i = offsets[a] ?? 0;
    let j = offsets[b] ?? 0;
    const endA = offsets[a + 1] ?? 0;
    const endB = offsets[b + 1] ?? 0;
    for (; i < endA && j < endB; i++, j++) {
      const difference = (bytes[i] ?? 0) - (bytes[j] ?? 0);
      if (difference !== 0) return difference;
    }
    return endA - i - (endB - j) || a - b;
  };
  return Int32Array.from(ids).sort(compare);
}
