/**
 * `npm run verify -- [DIR]`: replays reference numbers (default: `fixtures/`) and prints a line a case. Ends with 1
 * when anything is outside the tolerances of `fixtures/README.md`, with 2 when it could not run.
 */
import { fileURLToPath } from 'node:url';
import { verdictLine } from '../packages/neuron/src/verify/verdict.ts';
import { verify } from '../packages/neuron/src/verify/verify.ts';

const dir = process.argv[2] ?? fileURLToPath(new URL('../fixtures', import.meta.url));
let nFailed = 0;
let nPassed = 0;
try {
  for await (const verdict of verify(dir)) {
    console.log(verdictLine(verdict));
    if (verdict.ok) nPassed += 1;
    else nFailed += 1;
  }
  console.log(`${nPassed} passed, ${nFailed} failed`);
  process.exitCode = nFailed === 0 ? 0 : 1;
} catch (error) {
  console.error(`verify: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
