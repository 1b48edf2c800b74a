/**
 * A model from the hub into the shared cache. Blobs are named and linked as `huggingface_hub` does; `refs/main` is
 * written last, so a revision that is not whole is nobody's current one.
 */
import { copyFile, mkdir, readFile, rename, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CortexError } from '@cortex/core';
import { HubApiError, listFiles, modelInfo } from '@huggingface/hub';
import { configFile } from './checkpoint-folder.ts';
import { fetchBlob, type BlobTiming, type Fetch } from './fetch-blob.ts';
import { repoFolder } from './hub-cache.ts';
import { wantedFiles, type RemoteFile } from './wanted-files.ts';

export interface HubOptions {
  /** `https://huggingface.co` or a mirror of it. */
  readonly endpoint: string;
  readonly token?: string;
  readonly timing?: BlobTiming;
}

export interface DownloadProgress {
  readonly file: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  onProgress?(progress: DownloadProgress): void;
  /** Sees `config.json` before the weights are fetched; what it throws ends the download. */
  vetConfig?(config: unknown): void;
}

const defaultTiming: BlobTiming = { stallMs: 60_000, retryMs: 500 };
const answerTimeoutMs = 30_000;
/** Left free on the disk, whatever is downloaded. */
const spareBytes = 512 * 1024 * 1024;
const mb = 1024 * 1024;

/** The token goes to the hub itself, never to the storage hosts it redirects to. */
const authorizedFetch = (hub: HubOptions, signal: AbortSignal, timeoutMs: number | null): Fetch => {
  const { origin } = new URL(hub.endpoint);
  return (url, init) => {
    const headers = new Headers(init.headers);
    if (hub.token !== undefined && new URL(url).origin === origin) headers.set('authorization', `Bearer ${hub.token}`);
    const signals = [signal, init.signal, timeoutMs === null ? null : AbortSignal.timeout(timeoutMs)];
    return fetch(url, {
      ...init,
      headers,
      signal: AbortSignal.any(signals.filter((one) => one !== null && one !== undefined)),
    });
  };
};

const hubError = (error: unknown, id: string, hub: HubOptions): CortexError => {
  if (error instanceof CortexError) return error;
  const facts = { model_id: id };
  if (error instanceof HubApiError) {
    if (error.statusCode === 404 || error.statusCode === 401 || error.statusCode === 403) {
      const access = hub.token === undefined ? 'HF_TOKEN is not set' : 'the token in HF_TOKEN does not open it';
      return new CortexError('model_not_found', `${id} is not on ${hub.endpoint}, or private or gated (${access})`, {
        facts,
      });
    }
    return new CortexError('upstream_error', `${hub.endpoint} answered ${error.statusCode} for ${id}`, { facts });
  }
  const why = error instanceof Error ? ((error.cause as Error | undefined)?.message ?? error.message) : String(error);
  return new CortexError('upstream_error', `${hub.endpoint} cannot be reached: ${why}`, { facts, cause: error });
};

/** What the hub says becomes file names: anything but a hash is refused. */
const hashOrThrow = (hash: unknown, what: string): string => {
  if (typeof hash === 'string' && /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(hash)) return hash;
  throw new CortexError('upstream_error', `the hub gave no hash for ${what}`);
};

interface Plan {
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

const planDownload = async (id: string, hub: HubOptions, signal: AbortSignal): Promise<Plan> => {
  const given = { hubUrl: hub.endpoint, fetch: authorizedFetch(hub, signal, answerTimeoutMs) as typeof fetch };
  try {
    const info = await modelInfo({ name: id, revision: 'main', additionalFields: ['sha'], ...given });
    const commit = hashOrThrow(info.sha, id);
    const files: RemoteFile[] = [];
    for await (const { type, path: name, size, oid, lfs } of listFiles({ repo: id, revision: commit, ...given })) {
      if (type !== 'file') continue;
      const digest =
        lfs === undefined
          ? ({ kind: 'git-sha1', hex: hashOrThrow(oid, name) } as const)
          : ({ kind: 'sha256', hex: hashOrThrow(lfs.oid, name) } as const);
      files.push({ path: name, bytes: size, digest });
    }
    return { commit, files: wantedFiles(id, files) };
  } catch (error) {
    signal.throwIfAborted();
    throw hubError(error, id, hub);
  }
};

const sizeOf = async (file: string): Promise<number | null> => (await stat(file).catch(() => null))?.size ?? null;

/** Relative, so that the cache can be moved or mounted elsewhere. Some systems have no links: then a copy. */
const linkBlob = async (blob: string, link: string): Promise<void> => {
  if ((await sizeOf(link)) !== null) return;
  try {
    await symlink(path.relative(path.dirname(link), blob), link);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // Another process was faster.
    if (code === 'EEXIST') return;
    if (code !== 'EPERM' && code !== 'ENOSYS' && code !== 'ENOTSUP') throw error;
    await copyFile(blob, link);
  }
};

const checkSpace = async (id: string, dir: string, bytesNeeded: number): Promise<void> => {
  const disk = await statfs(dir);
  const bytesFree = disk.bavail * disk.bsize;
  if (bytesFree >= bytesNeeded + spareBytes) return;
  const facts = { model_id: id, needed_mb: Math.ceil(bytesNeeded / mb), free_mb: Math.floor(bytesFree / mb) };
  const what = `${id} needs ${facts.needed_mb} MB on the disk of ${dir}; ${facts.free_mb} MB are free`;
  throw new CortexError('model_load_failed', what, { facts });
};

interface BlobPlace {
  readonly file: RemoteFile;
  readonly blob: string;
  /** Bytes still to come. */
  readonly bytesMissing: number;
}

const placesOf = (files: readonly RemoteFile[], blobs: string): Promise<BlobPlace[]> =>
  Promise.all(
    files.map(async (file) => {
      const blob = path.join(blobs, file.digest.hex);
      const whole = (await sizeOf(blob)) === file.bytes;
      const had = whole ? file.bytes : ((await sizeOf(`${blob}.incomplete`)) ?? 0);
      return { file, blob, bytesMissing: Math.max(0, file.bytes - had) };
    }),
  );

/** Someone else may have finished the same blob meanwhile and taken the partial file with it. */
const finishBlob = async (place: BlobPlace): Promise<void> => {
  try {
    await rename(`${place.blob}.incomplete`, place.blob);
  } catch (error) {
    if ((await sizeOf(place.blob)) !== place.file.bytes) throw error;
  }
};

/**
 * @returns the snapshot's folder @throws CortexError `model_not_found`, `upstream_error`, `model_load_failed`; the
 * signal's reason. What has arrived stays, and the next call goes on from there.
 */
export const downloadModel = async (
  id: string,
  cacheDir: string,
  hub: HubOptions,
  options: DownloadOptions = {},
): Promise<string> => {
  const signal = options.signal ?? new AbortController().signal;
  const { commit, files } = await planDownload(id, hub, signal);
  const repo = path.join(cacheDir, repoFolder(id));
  const snapshot = path.join(repo, 'snapshots', commit);
  for (const folder of ['blobs', 'refs', path.join('snapshots', commit)]) {
    await mkdir(path.join(repo, folder), { recursive: true });
  }
  const places = await placesOf(files, path.join(repo, 'blobs'));
  await checkSpace(
    id,
    repo,
    places.reduce((sum, place) => sum + place.bytesMissing, 0),
  );
  const bytesTotal = files.reduce((sum, file) => sum + file.bytes, 0);
  let bytesBefore = 0;
  for (const place of places) {
    const { file, blob } = place;
    const before = bytesBefore;
    const onBytes = (bytes: number): void =>
      options.onProgress?.({ file: file.path, bytesDone: before + bytes, bytesTotal });
    if ((await sizeOf(blob)) === file.bytes) onBytes(file.bytes);
    else {
      const url = `${hub.endpoint}/${id}/resolve/${commit}/${file.path}`;
      const timing = hub.timing ?? defaultTiming;
      const partial = `${blob}.incomplete`;
      await fetchBlob({ url, file, partial, signal, onBytes, timing, fetch: authorizedFetch(hub, signal, null) });
      await finishBlob(place);
    }
    await linkBlob(blob, path.join(snapshot, file.path));
    if (file.path === configFile) vet(await readFile(blob, 'utf8'), id, options);
    bytesBefore += file.bytes;
  }
  await writeFile(path.join(repo, 'refs', 'main'), commit);
  return snapshot;
};

const vet = (text: string, id: string, options: DownloadOptions): void => {
  if (options.vetConfig === undefined) return;
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    throw new CortexError('model_load_failed', `${configFile} of ${id} is not JSON`, { facts: { model_id: id } });
  }
  options.vetConfig(config);
};
