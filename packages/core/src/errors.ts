/**
 * The one error table. Every failure that reaches a client is a `CortexError` whose code is a row here;
 * failover and retry read `source` and `retryable`, never a message.
 */

export type ErrorSource = 'client' | 'gateway' | 'neuron' | 'device';

export interface ErrorRow {
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** Anthropic's `error.type`. */
  readonly anthropicType: string;
  readonly source: ErrorSource;
  /** True when the same request may succeed later or elsewhere. */
  readonly retryable: boolean;
}

const clientFault = (status: number, anthropicType = 'invalid_request_error'): ErrorRow => ({
  status,
  type: 'invalid_request_error',
  anthropicType,
  source: 'client',
  retryable: false,
});

const retryLater = (status: number, source: ErrorSource, type: string, anthropicType: string): ErrorRow => ({
  status,
  type,
  anthropicType,
  source,
  retryable: true,
});

export const errorTable = {
  invalid_request: clientFault(400),
  invalid_image: clientFault(400),
  vision_unsupported: clientFault(400),
  context_length_exceeded: clientFault(400),
  unsupported_parameter: clientFault(400),
  invalid_api_key: { ...clientFault(401, 'authentication_error'), type: 'authentication_error' },
  forbidden: { ...clientFault(403, 'permission_error'), type: 'permission_error' },
  model_not_found: clientFault(404, 'not_found_error'),
  not_found: clientFault(404, 'not_found_error'),
  method_not_allowed: clientFault(405),
  model_busy: retryLater(409, 'neuron', 'conflict_error', 'invalid_request_error'),
  request_too_large: clientFault(413, 'request_too_large'),
  rate_limit_exceeded: retryLater(429, 'gateway', 'rate_limit_error', 'rate_limit_error'),
  insufficient_quota: { ...retryLater(429, 'gateway', 'insufficient_quota', 'rate_limit_error'), retryable: false },
  client_closed_request: { ...clientFault(499), type: 'client_closed_request' },
  internal_error: {
    status: 500,
    type: 'server_error',
    anthropicType: 'api_error',
    source: 'neuron',
    retryable: false,
  },
  model_load_failed: {
    status: 500,
    type: 'server_error',
    anthropicType: 'api_error',
    source: 'neuron',
    retryable: false,
  },
  upstream_error: retryLater(502, 'neuron', 'server_error', 'api_error'),
  upstream_disconnected: retryLater(502, 'neuron', 'server_error', 'api_error'),
  upstream_timeout: retryLater(504, 'neuron', 'server_error', 'api_error'),
  no_healthy_node: retryLater(503, 'gateway', 'server_error', 'overloaded_error'),
  model_loading: retryLater(503, 'neuron', 'server_error', 'overloaded_error'),
  insufficient_vram: retryLater(503, 'neuron', 'server_error', 'overloaded_error'),
  device_poisoned: retryLater(503, 'device', 'server_error', 'overloaded_error'),
  overloaded: retryLater(503, 'neuron', 'server_error', 'overloaded_error'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(errorTable, code);

/** Plain facts beside the message: `model_id`, `limit`, `got`, … They must survive JSON. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface CortexErrorOptions {
  /** The request field at fault, OpenAI's `error.param`. */
  readonly param?: string;
  readonly facts?: ErrorFacts;
  /** Seconds for `Retry-After`; retryable errors default to 1. */
  readonly retryAfterSecs?: number;
  readonly cause?: unknown;
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: ErrorCode;
    readonly param: string | null;
    readonly [fact: string]: unknown;
  };
}

/** A `CortexError` as plain data: what crosses a thread. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param?: string;
  readonly facts?: ErrorFacts;
  readonly retryAfterSecs?: number;
}

export class CortexError extends Error {
  override readonly name = 'CortexError';
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly facts: ErrorFacts;
  readonly retryAfterSecs: number | undefined;

  constructor(code: ErrorCode, message: string, options: CortexErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param;
    this.facts = options.facts ?? {};
    this.retryAfterSecs = options.retryAfterSecs ?? (errorTable[code].retryable ? 1 : undefined);
  }

  get row(): ErrorRow {
    return errorTable[this.code];
  }

  get status(): number {
    return this.row.status;
  }

  /** OpenAI's envelope, with the facts beside the four standard fields. */
  toBody(): ErrorBody {
    return {
      error: {
        ...this.facts,
        message: this.message,
        type: this.row.type,
        code: this.code,
        param: this.param ?? null,
      },
    };
  }

  toData(): ErrorData {
    return {
      code: this.code,
      message: this.message,
      facts: this.facts,
      ...(this.param === undefined ? {} : { param: this.param }),
      ...(this.retryAfterSecs === undefined ? {} : { retryAfterSecs: this.retryAfterSecs }),
    };
  }

  static fromData(data: ErrorData): CortexError {
    return new CortexError(data.code, data.message, data);
  }

  /** Anything thrown, as a row of the table: unknown failures become `internal_error`. */
  static from(thrown: unknown): CortexError {
    if (thrown instanceof CortexError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CortexError('internal_error', message, { cause: thrown });
  }
}
