/** The images of one prompt on the device: encoded once each, shared by all that prefill the prompt, then freed. */
import { CortexError } from '@cortex/core';
import type { DeviceModel, ImageEmbeds, VisionPrompt } from '../model/device-model.ts';
import type { VisionInput } from './protocol.ts';

export class PromptImages implements Disposable {
  readonly #input: VisionInput;
  readonly #embeds: ImageEmbeds[] = [];
  readonly #prompt: VisionPrompt;

  constructor(promptIds: Int32Array, input: VisionInput) {
    this.#input = input;
    this.#prompt = { ids: promptIds, positions: input.positions, embeds: this.#embeds };
  }

  get nLeft(): number {
    return this.#input.images.length - this.#embeds.length;
  }

  /** @throws CortexError `vision_unsupported`, and `internal_error` for a tower that makes another number of tokens. */
  encodeNext(model: DeviceModel): void {
    const image = this.#input.images[this.#embeds.length];
    if (image === undefined) return;
    const embeds = model.encodeImage(image);
    this.#embeds.push(embeds);
    if (embeds.nTokens !== image.nTokens) {
      throw new CortexError(
        'internal_error',
        `the tower made ${embeds.nTokens} tokens of an image planned as ${image.nTokens}`,
      );
    }
  }

  encodeAll(model: DeviceModel): void {
    while (this.nLeft > 0) this.encodeNext(model);
  }

  /** What `forwardWithVision` takes, once `nLeft` is 0. */
  get prompt(): VisionPrompt {
    return this.#prompt;
  }

  [Symbol.dispose](): void {
    for (const embeds of this.#embeds.splice(0)) embeds[Symbol.dispose]();
  }
}
