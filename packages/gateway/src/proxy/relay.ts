/** One node's answer on its way to the client, whole or streamed. */
import type { AnswerSink, NodeCall } from './node-call.ts';

export interface Relay extends AnswerSink {
  /** True: the client has seen part of this node's answer, so no other node may take over. */
  readonly committed: boolean;
  /** `send` makes the call. Resolves when the client has its whole answer. @throws what broke it. */
  run(send: (sink: AnswerSink) => NodeCall): Promise<void>;
}

/** How a relay's promise ends. */
export interface Settle {
  resolve(): void;
  reject(reason: unknown): void;
}
