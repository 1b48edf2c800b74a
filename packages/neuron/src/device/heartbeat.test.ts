import { describe, expect, it } from 'vitest';
import { Heartbeat } from './heartbeat.ts';
import { overdueMs } from './watchdog.ts';

const msAfter = (sinceNs: bigint, ms: number): bigint => sinceNs + BigInt(ms) * 1_000_000n;

describe('Heartbeat', () => {
  it('shows another thread what is being done, and counts what has been', async () => {
    const buffer = Heartbeat.buffer();
    const [writer, reader] = [new Heartbeat(buffer), new Heartbeat(buffer)];
    expect(reader.read()).toMatchObject({ activity: 'idle', nDone: 0n });
    expect(writer.step(() => reader.read())).toMatchObject({ activity: 'step', nDone: 0n });
    expect(() =>
      writer.step(() => {
        throw new Error('failed');
      }),
    ).toThrow('failed');
    expect(reader.read()).toMatchObject({ activity: 'idle', nDone: 2n });

    await writer.load(async (piece) => {
      expect(writer.step(() => reader.read().activity)).toBe('step');
      expect(reader.read()).toMatchObject({ activity: 'load', nDone: 3n });
      piece();
      await Promise.resolve();
      expect(reader.read()).toMatchObject({ activity: 'load', nDone: 4n });
    });
    expect(reader.read()).toMatchObject({ activity: 'idle', nDone: 5n });
  });
});

describe('overdueMs', () => {
  it('measures steps only, and only past the limit', () => {
    const reading = { activity: 'step', sinceNs: 7n, nDone: 0n } as const;
    expect(overdueMs(reading, msAfter(7n, 100), 100)).toBeNull();
    expect(overdueMs(reading, msAfter(7n, 101), 100)).toBe(101);
    expect(overdueMs({ ...reading, activity: 'load' }, msAfter(7n, 101), 100)).toBeNull();
    expect(overdueMs({ ...reading, activity: 'idle' }, msAfter(7n, 101), 100)).toBeNull();
  });
});
