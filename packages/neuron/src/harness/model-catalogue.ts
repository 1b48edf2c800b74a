/**
 * The models that are or could be on this host's disk, with what their folders tell. Listing is cheap enough to be
 * polled: unchanged folders are not read again. Downloads are single-flight and outlive the request that began them.
 */
import { stat } from 'node:fs/promises';
import { CortexError } from '@cortex/core';
import type { LoadProgress } from '../model/device-model.ts';
import type { ModelStore, StoredModel } from '../model-store/model-store.ts';
import { factFiles, factsOf, readCheckpointFacts, type CheckpointFacts } from './checkpoint-facts.ts';

export interface KnownModel extends StoredModel {
  readonly facts: CheckpointFacts;
}

interface Download {
  readonly model: Promise<KnownModel>;
  progress: LoadProgress;
}

/** Names the model that cannot be served, and why. */
export const refusedModel = (id: string, why: string): CortexError =>
  new CortexError('model_load_failed', `${id} cannot be served: ${why}`, { facts: { model_id: id } });

const stampOf = async (dir: string): Promise<string> => {
  const times = factFiles(dir).map((file) =>
    stat(file).then(
      (info) => String(info.mtimeMs),
      () => '-',
    ),
  );
  return (await Promise.all(times)).join(' ');
};

export class ModelCatalogue {
  readonly #store: ModelStore;
  readonly #supported: readonly string[];
  readonly #facts = new Map<string, { readonly stamp: string; readonly facts: CheckpointFacts }>();
  readonly #downloads = new Map<string, Download>();

  /** @param supportedModelTypes the `model_type`s that the engine has an architecture for. */
  constructor(store: ModelStore, supportedModelTypes: readonly string[]) {
    this.#store = store;
    this.#supported = supportedModelTypes;
  }

  /** Every whole model on disk. */
  async list(): Promise<readonly KnownModel[]> {
    const stored = await this.#store.list();
    return Promise.all(stored.map((model) => this.#known(model)));
  }

  /** What is being fetched now. */
  downloads(): readonly { readonly id: string; readonly progress: LoadProgress }[] {
    return [...this.#downloads].map(([id, { progress }]) => ({ id, progress }));
  }

  /** What is on disk, or null; never downloads. @throws CortexError `invalid_request` for an id that cannot be one. */
  async find(id: string): Promise<KnownModel | null> {
    const stored = await this.#store.find(id);
    return stored === null ? null : this.#known(stored);
  }

  /**
   * The model's folder, downloaded first if need be and allowed.
   * @throws CortexError `invalid_request`, `model_not_found`, `model_load_failed`, `upstream_error`.
   */
  async locate(id: string): Promise<KnownModel> {
    const found = await this.find(id);
    if (found !== null) return found;
    const running = this.#downloads.get(id);
    if (running !== undefined) return running.model;
    const download: Download = {
      model: this.#download(id, (progress) => (download.progress = progress)),
      progress: { fraction: 0, phase: 'download' },
    };
    this.#downloads.set(id, download);
    return download.model;
  }

  async #download(id: string, onProgress: (progress: LoadProgress) => void): Promise<KnownModel> {
    try {
      const stored = await this.#store.resolve(id, {
        onProgress: ({ bytesDone, bytesTotal }) =>
          onProgress({ fraction: bytesTotal === 0 ? 0 : Math.min(1, bytesDone / bytesTotal), phase: 'download' }),
        // Before gigabytes are fetched for nothing.
        vetConfig: (config) => {
          const { refusal } = factsOf(config, null, this.#supported);
          if (refusal !== null) throw refusedModel(id, refusal);
        },
      });
      return await this.#known(stored);
    } finally {
      this.#downloads.delete(id);
    }
  }

  async #known(stored: StoredModel): Promise<KnownModel> {
    const stamp = await stampOf(stored.dir);
    const read = this.#facts.get(stored.dir);
    if (read?.stamp === stamp) return { ...stored, facts: read.facts };
    const facts = await readCheckpointFacts(stored.dir, this.#supported);
    this.#facts.set(stored.dir, { stamp, facts });
    return { ...stored, facts };
  }
}
