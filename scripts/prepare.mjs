/**
 * After `npm ci`: builds the browser's page, so that it is there without a further step. Plain JavaScript, because it
 * runs before anything is known to be installed; without the development packages there is nothing to build with.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

if (existsSync(new URL('../node_modules/vite/package.json', import.meta.url))) {
  const { status } = spawnSync('npm', ['run', '--silent', 'build:page'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  process.exitCode = status ?? 1;
} else console.log('The page of cortex is not built: vite is not installed. The API works without it.');
