/** One node's answer on its way to the client, whole or streamed. */
import type { AnswerSink, NodeCall } from './node-call.ts';

export interface Relay extends AnswerSink {
  /** True: the client has seen part of this node's answer, so no other node may take over. */
  readonly committed: boolean;
  /** The node has answered no look since then: it is given up for `another`, if the client has seen nothing of it. */
  doubt(sinceMs: number, another: () => boolean): void;
  /** `send` makes the call. Resolves when the client has its whole answer. @throws what broke it. */
  run(send: (sink: AnswerSink) => NodeCall): Promise<void>;
}

/** How a relay's promise ends. */
export interface Settle {
  resolve(): void;
  reject(reason: unknown): void;
}
