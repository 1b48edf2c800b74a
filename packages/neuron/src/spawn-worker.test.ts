import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { spawnWorker, workerEntry } from './spawn-worker.ts';

const echoUrl = new URL('../test/echo-worker.ts', import.meta.url);
const hello = { message: 'hello', workerData: 'data', status: 503 };

describe('spawnWorker', () => {
  it('runs a TypeScript worker with its workspace imports, and keeps messages sent before it listens', async () => {
    const worker = spawnWorker(echoUrl, { workerData: 'data', name: 'echo' });
    worker.postMessage('hello', []);
    const [answer] = (await once(worker, 'message')) as [unknown];
    expect(answer).toEqual(hello);
    await worker.terminate();
  });

  it('reports a module that throws while loading as an error event', async () => {
    const worker = spawnWorker(echoUrl, { workerData: 'refuse to load' });
    const [error] = (await once(worker, 'error')) as [Error];
    expect(error.message).toBe('refused to load');
  });

  it('reports a module that is not there as an error event', async () => {
    const worker = spawnWorker(new URL('./no-such-worker.ts', import.meta.url));
    const [error] = (await once(worker, 'error')) as [Error];
    expect(error.message).toContain('no-such-worker');
  });

  it('works in a program started through tsx', async () => {
    const program = fileURLToPath(new URL('../test/spawn-echo.ts', import.meta.url));
    const tsx = import.meta.resolve('tsx');
    const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', '--import', tsx, program], {
      cwd: '/',
    });
    expect(JSON.parse(stdout)).toEqual(hello);
  });
});

describe('workerEntry', () => {
  it('is the source itself when running from source', () => {
    const url = new URL('file:///p/src/a/b-worker.ts');
    expect(workerEntry(url, 'file:///p/src/spawn-worker.ts')).toEqual({ kind: 'source', url });
  });

  it('is the compiled sibling when running from dist', () => {
    const entry = workerEntry(new URL('file:///p/dist/a.ts/b-worker.ts'), 'file:///p/dist/spawn-worker.js');
    expect(entry).toEqual({ kind: 'built', url: new URL('file:///p/dist/a.ts/b-worker.js') });
  });

  it('leaves a JavaScript worker alone', () => {
    const url = new URL('file:///p/src/c.js');
    expect(workerEntry(url, 'file:///p/src/spawn-worker.ts')).toEqual({ kind: 'built', url });
  });
});
