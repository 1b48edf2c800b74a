/**
 * What a client's protocol is to the proxy. The proxy speaks OpenAI to the nodes and knows nothing of other
 * protocols; a `Dialect` turns one client request into an OpenAI one and the answer back. It does no I/O, holds no
 * state but that of one request, and never sees keys, nodes or sockets.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { ChatChunk, CortexError } from '@cortex/core';
import type { WaitProgress } from '../fleet/contract.ts';

/** A JSON object as a client sent it: nothing is known of its members until they are checked. */
export type JsonObject = { readonly [key: string]: unknown };

/** What is called on the node. Where it is `/tokenize`, the answer is never streamed. */
export type UpstreamPath = '/v1/chat/completions' | '/v1/completions' | '/v1/embeddings' | '/tokenize';

interface ClientCall {
  readonly body: JsonObject;
  readonly headers: IncomingHttpHeaders;
  readonly requestId: string;
}

/** Why a stream is silent: what a keepalive tells. */
export type WaitNotice = WaitProgress | { readonly kind: 'prefill'; readonly text: string | null };

/**
 * What the proxy says on its own account inside a stream. Every method returns the text to write, in whole events;
 * an empty string writes nothing.
 */
export interface StreamVoice {
  /** Any number of times, also before the first `chunk`. */
  keepalive(notice: WaitNotice): string;
  /** The stream broke: the protocol's own error. At most once, after which nothing else is called. */
  fail(error: CortexError): string;
}

/**
 * One streamed answer on its way to the client. Made for one request; calls come in stream order. Chunks of a node
 * that fails before its first piece of answer are never shown to it, unless `chunk` itself threw at that piece.
 */
export interface StreamTranslator extends StreamVoice {
  /**
   * One `data:` event of the node, `[DONE]` aside: known to be an object with a `choices` array and no `error`.
   * Its deeper members are as the node sent them. @throws CortexError, which the proxy hands to `fail`.
   */
  chunk(chunk: ChatChunk): string;
  /** The node said `[DONE]`: the protocol's closing events. At most once. @throws CortexError, likewise handed to `fail`. */
  end(): string;
}

type Reply =
  /** The node's bytes reach the client as they are. */
  | { readonly kind: 'passthrough'; readonly voice: StreamVoice }
  | {
      readonly kind: 'translated';
      /** Whether the client asked for a stream; the forwarded request's `stream` must agree. */
      readonly stream: StreamTranslator | null;
      /** The node's whole JSON answer (status 200) as the client's. @throws CortexError `upstream_error`. */
      answer(body: unknown): JsonObject;
    };

export interface Translation {
  /**
   * What the node is asked, in OpenAI's shape of `upstreamPath`. `model` is the client's: the proxy replaces it by the
   * chosen node's id for it. The proxy also reads routing facts from here (images, length, leading messages) and
   * inlines remote `image_url`s, so images must be OpenAI parts. For a passthrough it is the client's own body object.
   * A translated stream should ask for `stream_options: { include_usage: true }` (and `continuous_usage_stats: true`
   * where the prompt's tokens are wanted on the first chunk).
   */
  readonly request: JsonObject;
  readonly reply: Reply;
  /** Of a count: how else engines that know no neuron's `/tokenize` can be asked, in order. */
  readonly countWays?: readonly CountWay[];
}

/** One call of a `CountWay`; the proxy puts the node's id for the model into the body. */
export interface CountCall {
  readonly path: string;
  readonly body: JsonObject;
}

/** How an engine tells the length of a prompt. */
export interface CountWay {
  /** One after the other, each made of the answer to the one before; null: that answer was not understood. */
  readonly steps: readonly ((before: unknown) => CountCall | null)[];
  /** Of the last answer; null: not understood. */
  read(answer: unknown): number | null;
}

export interface Dialect {
  /** Label in logs: `chat`, `completions`, `embeddings`, `messages`, `count_tokens`, `responses`. */
  readonly name: string;
  readonly upstreamPath: UpstreamPath;
  /** @throws CortexError `invalid_request`, `unsupported_parameter`, `invalid_image`: the client's fault. */
  translate(call: ClientCall): Translation;
  /** The HTTP body of an error that came before the stream began; the status is the error's own. */
  errorBody(error: CortexError, requestId: string): JsonObject;
}
