/**
 * One page's view of the gateway as a stream of events. Everything new is collected and sent at a steady beat, and only
 * while the page has taken what was sent before: a page that does not read costs what the bounded lists hold.
 */
import type { ServerResponse } from 'node:http';
import type { PageEvents } from '@cortex/core';
import { sseComment } from '@cortex/core';
import type { Caller } from '../auth/key-ring.ts';
import type { Observed } from '../observe/observed.ts';
import type { FleetText } from './fleet-text.ts';

const beatMs = 400;
const keepaliveMs = 15_000;
/** Unsent entries of one list; older ones are left out. */
const unsentMax = 500;
/** Live requests told at once. */
const liveMax = 200;

interface Watched {
  readonly observed: Observed;
  readonly fleet: FleetText;
  readonly caller: Caller;
  readonly hello: PageEvents['hello'];
}

interface Source<T> {
  snapshot(): readonly T[];
  subscribe(listener: (item: T) => void): () => void;
}

interface WithClient {
  readonly client: string;
}

export class WatchStream {
  readonly #res: ServerResponse;
  readonly #watched: Watched;
  readonly #finished: PageEvents['finished'][number][] = [];
  readonly #decisions: PageEvents['decisions'][number][] = [];
  readonly #log: string[] = [];
  readonly #stops: (() => void)[] = [];
  #fleet = '';
  #nLive = -1;
  #sentMs = performance.now();

  constructor(res: ServerResponse, watched: Watched) {
    this.#res = res;
    this.#watched = watched;
  }

  start(): void {
    const { observed, hello } = this.#watched;
    this.#send('hello', JSON.stringify(hello));
    this.#collect(observed.finished, this.#finished);
    this.#collect(observed.decisions, this.#decisions);
    if (hello.admin) this.#collect(observed.log, this.#log);
    const timer = setInterval(() => this.#beat(), beatMs);
    this.#stops.push(() => clearInterval(timer));
    this.#res.once('close', () => {
      for (const stop of this.#stops) stop();
    });
    // A write to a socket that has just gone is reported by `close` already.
    this.#res.on('error', () => undefined);
    this.#beat();
  }

  #collect<T>(source: Source<T>, unsent: T[]): void {
    unsent.push(...source.snapshot());
    this.#stops.push(
      source.subscribe((item) => {
        unsent.push(item);
        if (unsent.length > unsentMax) unsent.shift();
      }),
    );
  }

  #beat(): void {
    if (this.#res.writableNeedDrain || this.#res.destroyed) return;
    this.#res.cork();
    const fleet = this.#watched.fleet.read();
    if (fleet !== this.#fleet) this.#send('fleet', fleet);
    this.#fleet = fleet;
    this.#sendLive();
    this.#flush('finished', this.#finished, (items) => this.#seen(items));
    this.#flush('decisions', this.#decisions, (items) => this.#seen(items));
    this.#flush('log', this.#log, (items) => items);
    if (performance.now() - this.#sentMs > keepaliveMs) this.#write(sseComment('alive'));
    this.#res.uncork();
  }

  #sendLive(): void {
    const { live } = this.#watched.observed;
    if (live.count === 0 && this.#nLive === 0) return;
    const requests = this.#seen(live.snapshot().slice(-liveMax));
    this.#send('live', JSON.stringify({ total: live.count, requests } satisfies PageEvents['live']));
    this.#nLive = live.count;
  }

  #flush<T>(event: keyof PageEvents, unsent: T[], view: (items: readonly T[]) => readonly T[]): void {
    if (unsent.length > 0) this.#send(event, JSON.stringify(view(unsent.splice(0))));
  }

  /** Who else is asking is the admins' to know. */
  #seen<T extends WithClient>(items: readonly T[]): readonly T[] {
    const { admin, clientId } = this.#watched.caller;
    return admin ? items : items.map((item) => (item.client === clientId ? item : { ...item, client: '' }));
  }

  /** @param json on one line */
  #send(event: keyof PageEvents, json: string): void {
    this.#write(`event: ${event}\ndata: ${json}\n\n`);
  }

  #write(text: string): void {
    this.#sentMs = performance.now();
    this.#res.write(text);
  }
}
