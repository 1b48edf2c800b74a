/** Whom a request has come through, by its `Via` (RFC 9110 §7.6.3): what keeps gateways that list each other from loops. */
import type { IncomingHttpHeaders } from 'node:http';
import { CortexError } from '@cortex/core';

const none: ReadonlySet<string> = new Set();

/** `1.1 cortex-1f, HTTP/1.0 front (nginx)` → `cortex-1f`, `front`. */
export const gatewaysPassed = ({ via }: IncomingHttpHeaders): ReadonlySet<string> => {
  if (via === undefined) return none;
  return new Set(via.split(',').map((hop) => hop.trim().split(/\s+/)[1] ?? ''));
};

/** @throws CortexError `no_healthy_node`: whoever sent it back here has to find another way. */
export const refuseLoop = (passed: ReadonlySet<string>, self: string): void => {
  if (!passed.has(self)) return;
  const message = 'this request has already passed this gateway: it came back from one of its own nodes';
  throw new CortexError('no_healthy_node', message);
};
