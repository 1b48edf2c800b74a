import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ClientReply } from './client-reply.ts';

type Piece = Buffer | string;

const highWaterMark = 8;

/** Notes what is written to it. */
class Response extends EventEmitter {
  readonly destroyed = false;
  readonly writableNeedDrain = false;
  readonly writableHighWaterMark = highWaterMark;
  readonly writes: string[] = [];
  ended: string | null = null;

  write(piece: Piece): void {
    this.writes.push(String(piece));
  }

  end(piece: Piece): void {
    this.ended = String(piece);
  }
}

const begin = (): { readonly response: Response; readonly reply: ClientReply } => {
  const response = new Response();
  return { response, reply: new ClientReply(response as unknown as ServerResponse) };
};

const turn = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

describe('what is written to a client', () => {
  it('in one turn of the event loop goes out as one chunk, texts and bytes alike, and the next turn has its own', async () => {
    const { response, reply } = begin();
    for (const piece of ['a', Buffer.from('–'), '', 'b']) reply.write(piece);
    expect(response.writes).toEqual([]);
    await turn();
    reply.write('c');
    await turn();
    expect(response.writes).toEqual(['a–b', 'c']);
  });

  it('goes out with the end where that comes in the same turn, and not again', async () => {
    const { response, reply } = begin();
    reply.write('a');
    reply.end('z');
    await turn();
    expect(response).toMatchObject({ writes: [], ended: 'az' });
  });

  it('counts against what the client may have before it, though it is still to go out', async () => {
    const { reply } = begin();
    reply.write('x'.repeat(highWaterMark - 1));
    expect(reply.full).toBe(false);
    reply.write('x');
    expect(reply.full).toBe(true);
    await turn();
    expect(reply.full).toBe(false);
  });
});
