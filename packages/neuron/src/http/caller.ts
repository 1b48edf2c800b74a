/** Who asks, for fairness between them: as a gateway says, or by address. */
import { callerHeaders } from '@cortex/core';
import type { FastifyRequest } from 'fastify';

const acceptable = /^[\w.:@-]{1,128}$/;
/** Beyond this priorities are only larger numbers. */
const priorityMax = 1000;

export const callerOf = ({ headers, ip }: FastifyRequest): { readonly client: string; readonly priority: number } => {
  const client = headers[callerHeaders.client];
  const priority = Number(headers[callerHeaders.priority] ?? 0);
  return {
    client: typeof client === 'string' && acceptable.test(client) ? client : ip,
    priority: Number.isInteger(priority) ? Math.max(-priorityMax, Math.min(priority, priorityMax)) : 0,
  };
};
