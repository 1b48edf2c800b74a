import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CortexError } from '@cortex/core';
import { SilenceWatch } from './silence-watch.ts';

const watching = (client = new AbortController()): { watch: SilenceWatch; ends: CortexError[] } => {
  const ends: CortexError[] = [];
  return { watch: new SilenceWatch(client.signal, 'a', (reason) => ends.push(reason)), ends };
};

const socketPair = async (): Promise<{ reader: Socket; writer: Socket; close: () => void }> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [writer] = (await once(server, 'connection')) as [Socket];
  return {
    reader,
    writer,
    close: () => {
      reader.destroy();
      writer.destroy();
      server.close();
    },
  };
};

describe('SilenceWatch', () => {
  it('ends a call that is silent, and says what it waited for', async () => {
    const { watch, ends } = watching();
    watch.expect('token', 20);
    await sleep(60);
    expect(ends).toMatchObject([{ code: 'upstream_timeout', message: 'node a sent no token within 0.02 s' }]);
  });

  it('ends a call to a node that hangs when nothing was heard of it since and another can take over', () => {
    const { watch, ends } = watching();
    const sinceMs = performance.now();
    watch.heard();
    watch.doubt(sinceMs, () => true);
    watch.doubt(performance.now() + 1, () => false);
    expect(ends).toEqual([]);
    watch.doubt(performance.now() + 1, () => true);
    expect(ends).toMatchObject([{ code: 'upstream_timeout', message: 'node a answers nothing any more' }]);
  });

  it('is content with signs of life, and with pauses', async () => {
    const { watch, ends } = watching();
    watch.expect('token', 100);
    for (let i = 0; i < 6; i += 1) {
      await sleep(30);
      watch.alive();
    }
    watch.pause();
    await sleep(150);
    expect(ends).toEqual([]);
    watch.expect('further token', 20);
    await sleep(60);
    expect(ends).toHaveLength(1);
  });

  it('does not take its own late timer for the node’s silence', async () => {
    const { watch, ends } = watching();
    const { reader, writer, close } = await socketPair();
    watch.expect('token', 20);
    writer.write('in time');
    // The loop is busy past the deadline, and runs its timers before it looks at the socket.
    const untilMs = performance.now() + 60;
    while (performance.now() < untilMs);
    await once(reader, 'data');
    watch.alive();
    watch.pause();
    await sleep(30);
    expect(ends).toEqual([]);
    close();
  });

  it('ends with the client, with its reason, and not once it was stopped', () => {
    const client = new AbortController();
    const { watch, ends } = watching(client);
    const other = watching(client);
    other.watch.stop();
    watch.expect('token', 1000);
    const left = new CortexError('client_closed_request', 'left');
    client.abort(left);
    expect(ends).toEqual([left]);
    expect(other.ends).toEqual([]);
  });
});
