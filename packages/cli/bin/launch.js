/**
 * Plain JavaScript that every Node since 14 understands, committed as it is: npm links a command when its file is there,
 * and in a fresh clone nothing is built yet.
 */
import { existsSync } from 'node:fs';

const oldest = [20, 19];

/** Imports the program of this name once it is known to run here; says what to do when it is not. */
export const launch = async (name) => {
  const program = new URL(`../dist/${name}.js`, import.meta.url);
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    console.error(`${name} needs Node ${oldest.join('.')} or later; this is ${process.versions.node}`);
    process.exitCode = 1;
  } else if (existsSync(program)) await import(program.href);
  else {
    console.error(`${name} is not built yet: npm run build, in the folder of the repository`);
    process.exitCode = 1;
  }
};
