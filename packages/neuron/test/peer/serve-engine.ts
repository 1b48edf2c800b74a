/** The child's side of an `EngineProcess`: one call at a time, each answered once. */
import type { EngineAnswers, EngineCall, EngineReply } from './engine-calls.ts';

/** Tokens that the decode steps of a stream are given, whatever the model says. */
export const idAt = (stream: number, i: number): number => ((stream * 31 + i) * 7919) % 512;

const reply = (message: EngineReply): void => {
  process.send?.(message);
};

export const serveEngine = (answer: (call: EngineCall) => Promise<EngineAnswers[keyof EngineAnswers]>): void => {
  process.on('message', (call: EngineCall) => {
    answer(call).then(
      (value) => reply({ kind: 'done', value }),
      (error: unknown) => reply({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
};
