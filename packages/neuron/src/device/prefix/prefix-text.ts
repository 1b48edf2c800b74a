/**
 * The tokens of a sequence as something to compare: ids, and for image pads, which are all the same id, what image they
 * stand for. Two texts are equal up to a token exactly when a model's past is.
 */
import type { ImageInput } from '../../model/device-model.ts';

export interface PrefixImage {
  /** Its first pad. */
  readonly at: number;
  /** Behind its last. */
  readonly end: number;
  /** Equal for equal pixels on an equal grid only. */
  readonly key: string;
}

/** Where each image's pads are: they take pads in order. Images beyond the pads lie at the end. */
export const imagesOf = (
  ids: Int32Array,
  imageTokenId: number | null,
  images: readonly Pick<ImageInput, 'nTokens' | 'grid' | 'contentHash'>[],
): readonly PrefixImage[] => {
  let next = 0;
  const skipPads = (n: number): number => {
    let last = ids.length;
    for (let left = n; left > 0 && next < ids.length; next++) {
      if (ids[next] !== imageTokenId) continue;
      last = next;
      left -= 1;
    }
    return last;
  };
  return images.map(({ nTokens, grid, contentHash }) => {
    const at = imageTokenId === null ? -1 : ids.indexOf(imageTokenId, next);
    if (at === -1) return { at: ids.length, end: ids.length, key: contentHash };
    return { at, end: Math.min(skipPads(nTokens) + 1, ids.length), key: `${contentHash} ${grid.h}x${grid.w}` };
  });
};

const noImages: readonly PrefixImage[] = [];

export class PrefixText {
  readonly images: readonly PrefixImage[];
  #ids: Int32Array;
  #length: number;

  constructor(ids: Int32Array, images: readonly PrefixImage[] = noImages) {
    this.#ids = ids;
    this.#length = ids.length;
    this.images = images;
  }

  get length(): number {
    return this.#length;
  }

  /** A view, valid until the next `push`. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, this.#length);
  }

  /** A generated token; the array that it was made of is left alone. */
  push(id: number): void {
    if (this.#length === this.#ids.length) {
      const longer = new Int32Array(Math.max(64, this.#length * 2));
      longer.set(this.#ids);
      this.#ids = longer;
    }
    this.#ids[this.#length] = id;
    this.#length += 1;
  }

  /** Tokens from the start that are the same in both. */
  commonLength(other: PrefixText): number {
    const [a, b] = [this.#ids, other.#ids];
    const n = Math.min(this.#length, other.#length);
    let common = 0;
    while (common < n && a[common] === b[common]) common += 1;
    for (let i = 0; i < Math.max(this.images.length, other.images.length); i++) {
      const [own, theirs] = [this.images[i], other.images[i]];
      // Up to here the images were the same, so these are the first pads that might differ.
      if (own?.key !== theirs?.key || own?.at !== theirs?.at) {
        return Math.min(common, own?.at ?? Infinity, theirs?.at ?? Infinity);
      }
    }
    return common;
  }
}
