import { describe, expect, it } from 'vitest';
import { RequestQueue, type Waiter } from './request-queue.ts';

let tickets = 0;

const waiter = (facts: Partial<Waiter> = {}): Waiter => {
  tickets += 1;
  return {
    ticket: tickets,
    purpose: 'request',
    clientId: 'x',
    priority: 0,
    needsVision: false,
    tokensMin: 1,
    affinityKey: null,
    excludedNodes: new Set(),
    onlyNode: null,
    enqueuedMs: 0,
    deadlineMs: 1e9,
    name: 'm',
    modelId: 'm',
    resolved: true,
    coldStart: false,
    loadMs: 0,
    told: '',
    ...facts,
  };
};

const queueOf = (...waiters: readonly Waiter[]): RequestQueue => {
  const queue = new RequestQueue(100, 10_000);
  for (const one of waiters) queue.add(one);
  return queue;
};

/** Serves all, one by one; none of them ends. */
const order = (queue: RequestQueue, stepMs = 0): readonly string[] => {
  const clients: string[] = [];
  for (let nowMs = 0; ; nowMs += stepMs) {
    const next = queue.next('m', nowMs, new Set());
    if (next === null) return clients;
    queue.remove(next);
    queue.served(next.clientId, nowMs);
    clients.push(`${next.clientId}${next.priority}`);
  }
};

describe('the queue', () => {
  it('serves one client in order of arrival, the highest priority first', () => {
    const queue = queueOf(waiter(), waiter({ priority: 1 }), waiter({ priority: 1 }));
    expect(order(queue)).toEqual(['x1', 'x1', 'x0']);
  });

  it('is fair between clients: who has least running comes next', () => {
    const queue = queueOf(waiter(), waiter(), waiter(), waiter({ clientId: 'y' }), waiter({ clientId: 'z' }));
    expect(order(queue)).toEqual(['x0', 'y0', 'z0', 'x0', 'x0']);
  });

  it('lets a patient client of low priority pass fresh requests of a higher one', () => {
    const queue = queueOf(waiter({ clientId: 'low' }));
    const served: string[] = [];
    for (let nowMs = 0; nowMs < 40_000; nowMs += 1000) {
      queue.add(waiter({ clientId: 'high', priority: 2, enqueuedMs: nowMs }));
      const next = queue.next('m', nowMs, new Set())!;
      queue.remove(next);
      queue.served(next.clientId, nowMs);
      queue.ended(next.clientId);
      served.push(next.clientId);
      if (next.clientId === 'low') break;
    }
    expect(served.at(-1)).toBe('low');
    expect(served.length).toBeLessThanOrEqual(31);
  });

  it('does not let a flood age past another client', () => {
    const flood = Array.from({ length: 20 }, () => waiter({ clientId: 'flood' }));
    const queue = queueOf(...flood);
    queue.served('flood', 19_000);
    queue.add(waiter({ clientId: 'modest', enqueuedMs: 20_000 }));
    expect(queue.next('m', 21_000, new Set())?.clientId).toBe('modest');
  });

  it('skips who could not be served, and operators who need no slot', () => {
    const first = waiter();
    const queue = queueOf(waiter({ purpose: 'load' }), first, waiter({ clientId: 'y' }));
    expect(queue.next('m', 0, new Set([first]))?.clientId).toBe('y');
  });

  it('has a bound, at which the newest of the greediest client gives way, or the newcomer', () => {
    const queue = new RequestQueue(3, 10_000);
    const greedy = [waiter(), waiter(), waiter()];
    for (const one of greedy) expect(queue.add(one)).toBeNull();
    const more = waiter();
    expect(queue.add(more)).toBe(more);
    const modest = waiter({ clientId: 'y' });
    expect(queue.add(modest)).toBe(greedy[2]);
    const second = waiter({ clientId: 'y' });
    expect(queue.add(second)).toBe(second);
    expect(queue.size).toBe(3);
  });

  it('puts the model of an urgent request first, until others have waited long enough', () => {
    const queue = queueOf(waiter({ modelId: 'first' }), waiter({ modelId: 'urgent', priority: 1, enqueuedMs: 5000 }));
    expect(queue.models(9000)).toEqual(['urgent', 'first']);
    expect(queue.models(12_000)).toEqual(['first', 'urgent']);
  });

  it('knows who waits for what, the model with the oldest request first', () => {
    const old = waiter({ modelId: 'old' });
    const queue = queueOf(old, waiter({ modelId: 'new' }), waiter({ modelId: 'old' }));
    expect(queue.models(0)).toEqual(['old', 'new']);
    expect(queue.count('old')).toBe(2);
    queue.remove(old);
    expect(queue.models(0)).toEqual(['new', 'old']);
    expect(queue.find(old.ticket)).toBeNull();
  });
});
