/**
 * Who is calling. Keys are known only by their SHA-256; every configured one is compared, in constant time, whether
 * or not an earlier one fits. A key never leaves this file.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { CortexError, type KeyConfig } from '@cortex/core';

export interface Caller {
  /** The key's name, or the address of a caller without one. */
  readonly clientId: string;
  readonly key: KeyConfig | null;
  readonly priority: number;
  /** May load, unload and drain. */
  readonly admin: boolean;
}

/** `Authorization: Bearer`, as OpenAI's clients send, or `x-api-key`, as Anthropic's do. */
const presentedKey = (headers: IncomingHttpHeaders): string | null => {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const header = headers['x-api-key'];
  return typeof header === 'string' && header !== '' ? header : null;
};

export class KeyRing {
  readonly #keys: readonly { readonly config: KeyConfig; readonly hash: Buffer }[];
  readonly #requireAuth: boolean;

  constructor(keys: readonly KeyConfig[], requireAuth: boolean) {
    this.#keys = keys.map((config) => ({ config, hash: Buffer.from(config.hash, 'hex') }));
    this.#requireAuth = requireAuth;
  }

  /** Some are configured. */
  get inUse(): boolean {
    return this.#keys.length > 0;
  }

  /** @throws CortexError `invalid_api_key`. */
  identify(headers: IncomingHttpHeaders, address: string): Caller {
    // Without keys of our own, whatever a client was made to send says nothing.
    if (this.#keys.length === 0) return { clientId: address, key: null, priority: 0, admin: true };
    const presented = presentedKey(headers);
    if (presented === null) {
      if (!this.#requireAuth) return { clientId: address, key: null, priority: 0, admin: false };
      const how = 'send an API key as "Authorization: Bearer …" or "x-api-key"';
      throw new CortexError('invalid_api_key', how);
    }
    const key = this.#find(presented);
    if (key === null) throw new CortexError('invalid_api_key', 'this API key is not known here');
    return { clientId: key.name, key, priority: key.priority, admin: key.admin };
  }

  #find(presented: string): KeyConfig | null {
    const hash = createHash('sha256').update(presented).digest();
    let found: KeyConfig | null = null;
    for (const { config, hash: known } of this.#keys) if (timingSafeEqual(hash, known)) found = config;
    return found;
  }
}
