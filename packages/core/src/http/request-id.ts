/** The id that ties a client's report, this log and the nodes' logs together. */
import { randomUUID } from 'node:crypto';

const acceptable = /^[\w.:@-]{1,128}$/;

/** The caller's `x-request-id` if it is harmless in a log and a header, else a new one. */
export const requestId = (header: string | readonly string[] | undefined): string =>
  typeof header === 'string' && acceptable.test(header) ? header : `req_${randomUUID()}`;
