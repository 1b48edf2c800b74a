/**
 * One file from the hub into a partial file, resumed by ranges where an earlier attempt stopped, and checked against
 * its digest. Bytes are written at their own offsets, so two processes at the same file do each other no harm.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError } from '@cortex/core';
import type { RemoteFile } from './wanted-files.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface BlobRequest {
  readonly url: string;
  readonly file: RemoteFile;
  /** Where the bytes go; what is there already is taken as the beginning. */
  readonly partial: string;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Bytes of the file that are there so far. */
  onBytes(bytes: number): void;
  readonly timing: BlobTiming;
}

export interface BlobTiming {
  /** Without a byte for this long an attempt is given up. */
  readonly stallMs: number;
  /** Pause before the second attempt; doubled for each further one. */
  readonly retryMs: number;
}

/** Attempts in a row that brought nothing; any progress starts the count anew. */
const attemptsMax = 5;

/** A failure that another attempt may not meet. */
class Interrupted extends Error {}

const newHash = (file: RemoteFile): Hash => {
  if (file.digest.kind === 'sha256') return createHash('sha256');
  return createHash('sha1').update(`blob ${file.bytes}\0`);
};

interface Partial {
  readonly handle: FileHandle;
  bytes: number;
  hash: Hash;
}

const restart = async (partial: Partial, file: RemoteFile): Promise<void> => {
  await partial.handle.truncate(0);
  partial.bytes = 0;
  partial.hash = newHash(file);
};

/** What is there is read once, for its digest: of a large file that takes long enough to be stopped. */
const openPartial = async ({ partial: path, file, signal }: BlobRequest): Promise<Partial> => {
  const size = (await stat(path).catch(() => null))?.size ?? 0;
  const handle = await open(path, size === 0 ? 'w' : 'r+');
  const partial = { handle, bytes: size, hash: newHash(file) };
  try {
    if (size > file.bytes) await restart(partial, file);
    else for await (const chunk of createReadStream(path, { signal })) partial.hash.update(chunk as Buffer);
    return partial;
  } catch (error) {
    await handle.close();
    signal.throwIfAborted();
    throw error;
  }
};

/** The body at the right offset, or null when the server has to be asked again from the start. */
const requestRest = async (request: BlobRequest, partial: Partial, signal: AbortSignal): Promise<Response | null> => {
  const headers: Record<string, string> = partial.bytes === 0 ? {} : { range: `bytes=${partial.bytes}-` };
  const response = await request.fetch(request.url, { headers, signal });
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (Number(start) === partial.bytes) return response;
  } else if (response.status === 200) {
    if (partial.bytes > 0) await restart(partial, request.file);
    return response;
  }
  await response.body?.cancel();
  if (response.status === 206 || response.status === 416) {
    await restart(partial, request.file);
    return null;
  }
  const what = `the hub answered ${response.status} for ${request.file.path}`;
  if (response.status === 429 || response.status >= 500) throw new Interrupted(what);
  throw new CortexError('upstream_error', what);
};

const receive = async (request: BlobRequest, partial: Partial): Promise<void> => {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(new Interrupted('the hub stopped sending')), request.timing.stallMs);
  const signal = AbortSignal.any([request.signal, stalled.signal]);
  try {
    const response = await requestRest(request, partial, signal);
    if (response?.body === null || response === null) return;
    for await (const chunk of response.body) {
      timer.refresh();
      if (partial.bytes + chunk.length > request.file.bytes)
        throw new Interrupted('the hub sent more than it announced');
      await partial.handle.write(chunk, 0, chunk.length, partial.bytes);
      partial.hash.update(chunk);
      partial.bytes += chunk.length;
      request.onBytes(partial.bytes);
    }
  } catch (error) {
    if (error instanceof CortexError || request.signal.aborted) throw error;
    throw stalled.signal.aborted ? stalled.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
};

const receiveAll = async (request: BlobRequest, partial: Partial): Promise<void> => {
  let failures = 0;
  while (partial.bytes < request.file.bytes) {
    const before = partial.bytes;
    let reason = 'the connection ended early';
    try {
      await receive(request, partial);
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof CortexError) throw error;
      reason = error instanceof Error ? error.message : String(error);
    }
    if (partial.bytes >= request.file.bytes) return;
    failures = partial.bytes > before ? 0 : failures + 1;
    if (failures >= attemptsMax) {
      throw new CortexError('upstream_error', `${request.file.path} could not be fetched: ${reason}`);
    }
    await delay(request.timing.retryMs * 2 ** failures, undefined, { signal: request.signal });
  }
};

/**
 * Resolves when the partial file is whole and right. @throws CortexError `upstream_error`; the signal's reason. What
 * was received stays for the next time, unless it is wrong.
 */
export const fetchBlob = async (request: BlobRequest): Promise<void> => {
  const partial = await openPartial(request);
  try {
    request.onBytes(partial.bytes);
    await receiveAll(request, partial);
    await partial.handle.datasync();
  } finally {
    await partial.handle.close();
  }
  if (partial.hash.digest('hex') === request.file.digest.hex) return;
  await rm(request.partial, { force: true });
  throw new CortexError('upstream_error', `${request.file.path} arrived damaged: its digest is not the hub's`);
};
