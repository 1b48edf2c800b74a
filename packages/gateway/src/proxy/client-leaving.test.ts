import { describe, expect, it } from 'vitest';
import { CortexError } from '@cortex/core';
import { ClientLeaving } from './client-leaving.ts';

const left = new CortexError('client_closed_request', 'the client left');

describe("a client's leaving", () => {
  it('is told once, with its first reason, to who listens then', () => {
    const leaving = new ClientLeaving();
    const heard: string[] = [];
    const deaf = (): void => void heard.push('deaf');
    leaving.addEventListener('abort', deaf);
    leaving.addEventListener('abort', () => void heard.push('one'));
    leaving.removeEventListener('abort', deaf);
    expect(() => leaving.throwIfAborted()).not.toThrow();
    leaving.abort(left);
    leaving.abort(new CortexError('overloaded', 'this gateway is shutting down'));
    expect(heard).toEqual(['one']);
    expect(leaving).toMatchObject({ aborted: true, reason: left });
    expect(() => leaving.throwIfAborted()).toThrow(left);
  });

  it('aborts a signal made of it before and after', () => {
    const leaving = new ClientLeaving();
    const before = leaving.toAbortSignal();
    expect(before.aborted).toBe(false);
    leaving.abort(left);
    for (const signal of [before, leaving.toAbortSignal()])
      expect(signal).toMatchObject({ aborted: true, reason: left });
  });
});
