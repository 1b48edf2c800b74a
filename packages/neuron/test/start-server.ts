/** A neuron's HTTP side over a fake harness on a free port, with its log kept in memory. */
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { createServer, type NeuronServer, type ServerOptions } from '../src/http/server.ts';
import { FakeHarness } from './fake-harness.ts';

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly harness: FakeHarness;
  readonly server: NeuronServer;
  /** The log so far, a parsed object a line. */
  readonly log: readonly Record<string, unknown>[];
}

export const startServer = async (options: Partial<ServerOptions> = {}): Promise<TestServer> => {
  const harness = new FakeHarness();
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().trim().split('\n')) log.push(JSON.parse(line) as Record<string, unknown>);
      done();
    },
  });
  const server = createServer(
    {
      harness,
      version: { name: 'neuron', version: '0.0.0', node: 'v20', ggml: { version: '1', commit: 'abc' }, backends: [] },
      log: pino({ level: 'debug' }, sink),
      discover: async () => ({
        hostname: 'box',
        os: 'Linux',
        kernel: '6',
        devices: [...harness.devices],
        harnesses: [harness.name],
      }),
      deviceHealth: () => harness.deviceHealth(),
      activation: () => ({ state: 'idle', loaded: [], failed: [] }),
    },
    { bodyBytesMax: 1024 * 1024, keepaliveMs: 5000, stallMs: 60_000, ...options },
  );
  const url = await server.listen('127.0.0.1', 0);
  return { url, harness, server, log, [Symbol.asyncDispose]: () => server.close() };
};

/** Polls until it holds; a test that waits in vain fails by its own timeout. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
};
