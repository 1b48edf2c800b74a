/**
 * From a model's id to its folder or GGUF file: under the operator's folders first, then in the Hugging Face cache, then from the
 * hub if that is allowed. Looking never downloads; only `resolve` does.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CortexError, nearestKey } from '@cortex/core';
import { FolderCache } from './folder-cache.ts';
import { ggufModelsIn } from './gguf-models.ts';
import { currentSnapshot, repoFolder, repoIdOf } from './hub-cache.ts';
import { downloadModel, type DownloadOptions, type HubOptions } from './hub-download.ts';
import { isHubId, modelIdParts } from './model-id.ts';

export interface StoredModel {
  readonly id: string;
  /** The folder with `config.json` and the weights, or the only or first file of a GGUF model. */
  readonly dir: string;
  /** Size of the weights. */
  readonly bytes: number;
  readonly source: 'folder' | 'hub_cache';
}

export interface ModelStoreOptions {
  readonly modelDirs: readonly string[];
  readonly hubCacheDir: string;
  /** Null: nothing is ever downloaded. */
  readonly hub: HubOptions | null;
}

const namesIn = async (dir: string): Promise<readonly string[]> => {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .toSorted();
};

interface Place {
  readonly id: string;
  readonly dir: string;
  readonly source: StoredModel['source'];
}

const idOf = (parts: readonly string[]): string => parts.join('/');

const ggufPlaces = async (dir: string, prefix: string, source: StoredModel['source']): Promise<readonly Place[]> =>
  (await ggufModelsIn(dir)).map((file) => ({
    id: prefix === '' ? file.name : `${prefix}/${file.name}`,
    dir: file.path,
    source,
  }));

/** Repositories keep the parts of their largest models in a folder for each. */
const snapshotGgufPlaces = async (dir: string, id: string): Promise<readonly Place[]> => {
  const inner = await Promise.all(
    (await namesIn(dir)).map((name) => ggufPlaces(path.join(dir, name), `${id}/${name}`, 'hub_cache')),
  );
  return [...(await ggufPlaces(dir, id, 'hub_cache')), ...inner.flat()];
};

export class ModelStore {
  readonly #options: ModelStoreOptions;
  readonly #folders = new FolderCache();
  readonly #downloads = new Map<string, Promise<StoredModel>>();

  constructor(options: ModelStoreOptions) {
    this.#options = options;
  }

  /** Every whole model on disk, each id once. Cheap enough to be polled: unchanged folders are not read again. */
  async list(): Promise<readonly StoredModel[]> {
    const places = [...(await this.#placesInDirs()), ...(await this.#placesInCache())];
    const models = new Map<string, StoredModel>();
    for (const place of places) {
      if (models.has(place.id)) continue;
      const folder = await this.#folders.inspect(place.dir);
      if (folder.kind === 'complete') models.set(place.id, { ...place, bytes: folder.bytes });
    }
    return [...models.values()];
  }

  /** What is on disk, or null. @throws CortexError `invalid_request` for an id that cannot be one. */
  async find(id: string): Promise<StoredModel | null> {
    const found = await this.#look(id);
    return 'dir' in found ? found : null;
  }

  /**
   * As `find`, and downloads what is not there when that is allowed; callers of one id share one download.
   * @throws CortexError `invalid_request`, `model_not_found`, `model_load_failed`, `upstream_error`.
   */
  async resolve(id: string, options: DownloadOptions = {}): Promise<StoredModel> {
    const found = await this.#look(id);
    if ('dir' in found) return found;
    const { hub } = this.#options;
    if (hub === null || !isHubId(id)) throw await this.#notFound(id, found.incomplete);
    const running = this.#downloads.get(id);
    if (running !== undefined) return running;
    const download = this.#download(id, hub, options).finally(() => this.#downloads.delete(id));
    this.#downloads.set(id, download);
    return download;
  }

  async #download(id: string, hub: HubOptions, options: DownloadOptions): Promise<StoredModel> {
    const dir = await downloadModel(id, this.#options.hubCacheDir, hub, options);
    const folder = await this.#folders.inspect(dir);
    if (folder.kind === 'complete') return { id, dir, bytes: folder.bytes, source: 'hub_cache' };
    const why = folder.kind === 'incomplete' ? folder.reason : 'no weights';
    throw new CortexError('model_load_failed', `${id} on the hub is not whole: ${why}`, { facts: { model_id: id } });
  }

  async #look(id: string): Promise<StoredModel | { readonly incomplete: string | null }> {
    const parts = modelIdParts(id);
    let incomplete: string | null = null;
    for (const place of await this.#placesOf(id, parts)) {
      const folder = await this.#folders.inspect(place.dir);
      if (folder.kind === 'complete') return { ...place, bytes: folder.bytes };
      if (folder.kind === 'incomplete') incomplete ??= `${place.dir} is not whole: ${folder.reason}`;
    }
    return { incomplete };
  }

  async #placesOf(id: string, parts: readonly string[]): Promise<readonly Place[]> {
    const places: Place[] = [];
    for (const root of this.#options.modelDirs) {
      places.push({ id, dir: path.join(root, ...parts), source: 'folder' });
      if (id === path.basename(path.resolve(root))) places.push({ id, dir: root, source: 'folder' });
      places.push(...(await ggufPlaces(path.join(root, ...parts.slice(0, -1)), idOf(parts.slice(0, -1)), 'folder')));
    }
    if (isHubId(id)) {
      const dir = await currentSnapshot(path.join(this.#options.hubCacheDir, repoFolder(id)));
      if (dir !== null) places.push({ id, dir, source: 'hub_cache' });
    }
    places.push(...(await this.#ggufPlacesInCache(parts)));
    return places.filter((place) => place.id === id);
  }

  /** GGUF files of a repository in the cache, in its folder or in one inside: ORG/NAME/FILE, ORG/NAME/FOLDER/FILE. */
  async #ggufPlacesInCache(parts: readonly string[]): Promise<readonly Place[]> {
    const repoId = idOf(parts.slice(0, 2));
    if (parts.length < 3 || !isHubId(repoId)) return [];
    const dir = await currentSnapshot(path.join(this.#options.hubCacheDir, repoFolder(repoId)));
    return dir === null ? [] : snapshotGgufPlaces(dir, repoId);
  }

  /** A model folder may itself be a checkpoint, hold checkpoints, or hold folders by organisation. */
  async #placesInDirs(): Promise<readonly Place[]> {
    const places: Place[] = [];
    for (const root of this.#options.modelDirs) {
      places.push({ id: path.basename(path.resolve(root)), dir: root, source: 'folder' });
      places.push(...(await ggufPlaces(root, '', 'folder')));
      for (const name of await namesIn(root)) {
        const dir = path.join(root, name);
        places.push({ id: name, dir, source: 'folder' }, ...(await ggufPlaces(dir, name, 'folder')));
        for (const inner of await namesIn(dir)) {
          const innerDir = path.join(dir, inner);
          const id = `${name}/${inner}`;
          places.push({ id, dir: innerDir, source: 'folder' }, ...(await ggufPlaces(innerDir, id, 'folder')));
        }
      }
    }
    return places.filter((place) => isListable(place.id));
  }

  async #placesInCache(): Promise<readonly Place[]> {
    const { hubCacheDir } = this.#options;
    const places: Place[] = [];
    for (const name of await namesIn(hubCacheDir)) {
      const id = repoIdOf(name);
      const dir = id === null || !isHubId(id) ? null : await currentSnapshot(path.join(hubCacheDir, name));
      if (id === null || dir === null) continue;
      places.push({ id, dir, source: 'hub_cache' }, ...(await snapshotGgufPlaces(dir, id)));
    }
    return places.filter((place) => isListable(place.id));
  }

  async #notFound(id: string, incomplete: string | null): Promise<CortexError> {
    const known = (await this.list()).map((model) => model.id);
    const near = nearestKey(id, known);
    const hint = [
      incomplete,
      near === null ? null : `did you mean ${near}?`,
      this.#options.hub === null && isHubId(id) ? 'downloads are off (allow_download)' : null,
    ].filter((part) => part !== null);
    const message = [`there is no model ${id} here`, ...hint].join('; ');
    return new CortexError('model_not_found', message, {
      facts: { model_id: id, ...(near === null ? {} : { suggestion: near }) },
    });
  }
}

/** A folder whose name could not be asked for is not offered either. */
const isListable = (id: string): boolean => {
  try {
    return modelIdParts(id).length > 0;
  } catch {
    return false;
  }
};
