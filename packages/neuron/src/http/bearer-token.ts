/** The token shared between a neuron and its gateways; compared in constant time, never logged. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { CortexError } from '@cortex/core';

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

const hashPrefix = 'sha256:';

export type TokenCheck = (authorization: string | undefined) => void;

/**
 * @param configured the token itself, or `sha256:` and the hex of its SHA-256
 * @returns a check that throws CortexError `invalid_api_key` unless the header carries that token
 */
export const bearerCheck = (configured: string): TokenCheck => {
  const expected = configured.startsWith(hashPrefix)
    ? Buffer.from(configured.slice(hashPrefix.length), 'hex')
    : sha256(configured);
  return (authorization) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token !== undefined && timingSafeEqual(sha256(token), expected)) return;
    const what = token === undefined ? 'this neuron wants "Authorization: Bearer <token>"' : 'the token is not right';
    throw new CortexError('invalid_api_key', what);
  };
};
