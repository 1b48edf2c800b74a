/** The images of one prompt on the device: encoded once each, shared by all that prefill the prompt, then freed. */
import { CortexError } from '@cortex/core';
import type { DeviceModel, ImageEmbeds, ImageEncoding, VisionPrompt } from '../model/device-model.ts';
import { imagesOf, type PrefixImage } from './prefix/prefix-text.ts';
import type { VisionInput } from './protocol.ts';

export class PromptImages implements Disposable {
  /** Where they are in the prompt. */
  readonly places: readonly PrefixImage[];
  readonly #promptIds: Int32Array;
  readonly #input: VisionInput;
  /** By image. */
  readonly #embeds = new Map<number, ImageEmbeds>();
  #current: { readonly iImage: number; readonly encoding: ImageEncoding } | null = null;

  /** @param imageTokenId null for a model without a tower. */
  constructor(promptIds: Int32Array, input: VisionInput, imageTokenId: number | null) {
    this.#promptIds = promptIds;
    this.#input = input;
    this.places = imagesOf(promptIds, imageTokenId, input.images);
  }

  /** Images still to encode for a sequence that has computed `nPast` tokens: it needs none of those behind it. */
  nLeft(nPast: number): number {
    return this.#waiting(nPast).length;
  }

  /** One of them is on its way through the tower. */
  get isMidway(): boolean {
    return this.#current !== null;
  }

  /**
   * Goes on with the next of them for about `ms`.
   * @throws CortexError `vision_unsupported`, and `internal_error` for a tower that makes another number of tokens.
   */
  encodeNext(model: DeviceModel, nPast: number, ms: number): void {
    const iImage = this.#current?.iImage ?? this.#waiting(nPast)[0];
    const image = iImage === undefined ? undefined : this.#input.images[iImage];
    if (iImage === undefined || image === undefined) return;
    this.#current ??= { iImage, encoding: model.beginImage(image) };
    const embeds = this.#current.encoding.advance(ms);
    if (embeds === null) return;
    this.#current = null;
    this.#embeds.set(iImage, embeds);
    if (embeds.nTokens !== image.nTokens) {
      throw new CortexError(
        'internal_error',
        `the tower made ${embeds.nTokens} tokens of an image planned as ${image.nTokens}`,
      );
    }
  }

  encodeAll(model: DeviceModel, nPast: number): void {
    while (this.nLeft(nPast) > 0) this.encodeNext(model, nPast, Infinity);
  }

  /** What `forwardWithVision` takes, once nothing is left for that sequence. */
  get prompt(): VisionPrompt {
    const embeds = this.#input.images.map(({ nTokens }, iImage) => this.#embeds.get(iImage) ?? { nTokens });
    return { ids: this.#promptIds, positions: this.#input.positions, embeds };
  }

  #waiting(nPast: number): readonly number[] {
    return this.places.flatMap(({ end }, iImage) => (end > nPast && !this.#embeds.has(iImage) ? [iImage] : []));
  }

  [Symbol.dispose](): void {
    this.#current?.encoding[Symbol.dispose]();
    this.#current = null;
    for (const embeds of this.#embeds.values()) embeds[Symbol.dispose]();
    this.#embeds.clear();
  }
}
