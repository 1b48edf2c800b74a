/** Loads the `default_models` one after the other while the port already answers, and keeps how far that is. */
import { CortexError, type DefaultModel, type Harness, type Health } from '@cortex/core';
import type { Logger } from 'pino';

export type Activation = Health['activation'];

export class DefaultModels {
  readonly #loaded: string[] = [];
  readonly #failed: { readonly id: string; readonly error: string }[] = [];
  #state: Activation['state'] = 'idle';

  get activation(): Activation {
    return { state: this.#state, loaded: [...this.#loaded], failed: [...this.#failed] };
  }

  /** Never throws: a model that fails is on record, and the others are loaded all the same. */
  async load(harness: Pick<Harness, 'load'>, models: readonly DefaultModel[], log: Logger): Promise<void> {
    if (models.length === 0) return;
    this.#state = 'loading';
    for (const { id, ...options } of models) {
      const startedMs = performance.now();
      try {
        await harness.load({ model_id: id, ...options });
        this.#loaded.push(id);
        log.info({ model: id, durationMs: Math.round(performance.now() - startedMs) }, 'loaded');
      } catch (thrown) {
        const error = CortexError.from(thrown).message;
        this.#failed.push({ id, error });
        log.error({ model: id, reason: error }, 'default model failed to load');
      }
    }
    this.#state = this.#failed.length === 0 ? 'ready' : 'failed';
  }
}
