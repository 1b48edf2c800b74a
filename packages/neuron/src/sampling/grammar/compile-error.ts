/** How compiling a constraint fails: always the client's fault, with the keyword and the place named. */
import { CortexError } from '@cortex/core';

/** The schema uses JSON Schema the sampler cannot enforce. */
export const unsupported = (keyword: string, path: string, why: string): CortexError =>
  new CortexError('unsupported_parameter', `JSON Schema "${keyword}" at ${path} is not supported: ${why}`, {
    facts: { keyword, path },
  });

/** The schema is not JSON Schema, or nothing satisfies it. */
export const invalidSchema = (path: string, why: string): CortexError =>
  new CortexError('invalid_request', `the JSON Schema at ${path} is wrong: ${why}`, { facts: { path } });

/** Work a compilation may still do: schemas whose expansion explodes end here, in bounded time. */
export class CompileBudget {
  #left: number;

  constructor(steps: number) {
    this.#left = steps;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) {
      throw new CortexError('invalid_request', 'the JSON Schema is too complex to constrain the output by');
    }
  }
}
