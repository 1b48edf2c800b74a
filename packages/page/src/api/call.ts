/** Calls of the gateway's API. The key goes into a header and nowhere else. */

/** A failure in the API's own words. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, message: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.facts = facts;
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textOr = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);

/** @param body what came with the status, `{ error: { message, code, … } }` if the gateway wrote it */
export const errorOf = (status: number, body: unknown): ApiError => {
  const error = isObject(body) && isObject(body['error']) ? body['error'] : {};
  const { message, code, type: _type, param: _param, ...facts } = error;
  return new ApiError(
    status,
    textOr(code, `http_${status}`),
    textOr(message, `The gateway answered ${status}.`),
    facts,
  );
};

export interface Call {
  readonly key: string | null;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** @throws ApiError what the gateway refused, or `unreachable`; the signal's reason */
export const call = async (path: string, { key, body, signal }: Call): Promise<Response> => {
  const headers: Record<string, string> = {};
  if (key !== null) headers['authorization'] = `Bearer ${key}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, {
      headers,
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    });
  } catch (thrown) {
    if (signal?.aborted === true) throw thrown;
    throw new ApiError(0, 'unreachable', 'The gateway can’t be reached.');
  }
  if (response.ok) return response;
  throw errorOf(response.status, await response.json().catch(() => null));
};
