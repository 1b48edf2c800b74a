import { describe, expect, it } from 'vitest';
import { CortexError } from '@cortex/core';
import {
  errorMemberOf,
  failsOver,
  fromAnswer,
  fromErrorMember,
  fromTransport,
  isStaleView,
  outcomeOf,
  retryAfterSecs,
} from './node-errors.ts';

const broken = (code: string): Error => Object.assign(new Error('broke'), { code });

describe('fromTransport', () => {
  it.each([
    ['ECONNREFUSED', 'upstream_disconnected'],
    ['ECONNRESET', 'upstream_disconnected'],
    ['UND_ERR_SOCKET', 'upstream_disconnected'],
    ['UND_ERR_CONNECT_TIMEOUT', 'upstream_timeout'],
    ['HPE_INVALID_CONSTANT', 'upstream_error'],
  ])('names %s %s', (code, expected) => {
    const error = fromTransport(broken(code), 'a');
    expect(error).toMatchObject({ code: expected, facts: { node: 'a' } });
    expect(failsOver(error)).toBe(true);
    expect(outcomeOf(error).kind).toBe('failed');
  });

  it('takes what no socket threw for our own bug, which no other node can heal', () => {
    const error = fromTransport(new TypeError('x is not a function'), 'a');
    expect(error.code).toBe('internal_error');
    expect(failsOver(error)).toBe(false);
    expect(outcomeOf(error).kind).toBe('client');
  });
});

describe('errorMemberOf', () => {
  it.each([
    [{ error: { message: 'no' } }, { message: 'no' }],
    [{ error: 'no' }, 'no'],
    [{ choices: [], error: null }, null],
    [{ choices: [], error: '' }, null],
    [{ choices: [], error: false }, null],
    [{ choices: [] }, null],
    ['text', null],
  ])('of %j is %j', (body, member) => expect(errorMemberOf(body)).toEqual(member));
});

describe('fromAnswer', () => {
  it('keeps code, message, param and facts of a neuron’s error', () => {
    const body = new CortexError('context_length_exceeded', 'too long', {
      param: 'messages',
      facts: { limit: 10 },
    }).toBody();
    expect(fromAnswer(400, JSON.stringify(body), 'a').toBody()).toEqual({ error: { ...body.error, node: 'a' } });
  });

  it('gives other engines’ errors the row of their status', () => {
    const vllm = '{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}';
    expect(fromAnswer(400, vllm, 'a')).toMatchObject({ code: 'invalid_request', message: 'bad' });
    expect(fromAnswer(429, '', 'a', 9)).toMatchObject({ code: 'rate_limit_exceeded', retryAfterSecs: 9 });
    expect(fromAnswer(503, '<html>', 'a')).toMatchObject({ code: 'overloaded', message: 'node a answered 503' });
    expect(fromAnswer(418, '{"error":"teapot"}', 'a')).toMatchObject({ code: 'upstream_error', message: 'teapot' });
    expect(fromAnswer(302, '', 'a').code).toBe('upstream_error');
  });

  it.each(['invalid_api_key', 'model_not_found', 'internal_error', 'model_load_failed'] as const)(
    'does not blame the client for %s of a node it did not choose',
    (code) => {
      const error = fromAnswer(400, JSON.stringify(new CortexError(code, 'no').toBody()), 'a');
      expect(error.code).toBe('upstream_error');
      expect(failsOver(error)).toBe(true);
    },
  );

  it.each(['model_not_found', 'model_busy'] as const)('tells the fleet that its view is stale: %s', (code) => {
    const error = fromAnswer(404, JSON.stringify(new CortexError(code, 'gone').toBody()), 'a');
    expect(outcomeOf(error)).toMatchObject({ kind: 'failed', error: { code } });
    expect(outcomeOf(fromAnswer(500, '{"error":{"code":"internal_error"}}', 'a'))).toMatchObject({
      error: { code: 'upstream_error' },
    });
  });

  it.each(['{"object":"error","message":"The model `x` does not exist.","code":404}', '{"error":"model x not found"}'])(
    'takes the 404 of another engine for a model it does not have where it says so: %s',
    (body) => {
      const error = fromAnswer(404, body, 'a');
      expect(error.code).toBe('upstream_error');
      expect(outcomeOf(error)).toMatchObject({ kind: 'failed', error: { code: 'model_not_found' } });
    },
  );

  it.each(['{"detail":"Not Found"}', 'page not found', '<html>', '{"error":{"message":"Not Found","code":404}}'])(
    'blames neither the engine nor its model for a path that it does not serve: %s',
    (body) => {
      const error = fromAnswer(404, body, 'a');
      expect([error.code, failsOver(error), isStaleView(error)]).toEqual(['upstream_error', true, false]);
      expect(outcomeOf(error)).toEqual({ kind: 'client' });
    },
  );

  it('takes a node without room for a model that was loaded there for one that has changed', () => {
    const error = fromAnswer(503, JSON.stringify(new CortexError('insufficient_vram', 'x').toBody()), 'a');
    expect([isStaleView(error), failsOver(error)]).toEqual([true, true]);
  });

  it('tells the fleet that a node is full, and still asks another', () => {
    for (const code of ['overloaded', 'rate_limit_exceeded', 'model_loading', 'insufficient_vram'] as const) {
      const error = fromErrorMember({ code, message: 'x' }, 503, 'a');
      expect([failsOver(error), outcomeOf(error).kind]).toEqual([true, 'failed']);
    }
  });
});

describe('retryAfterSecs', () => {
  it('reads seconds and dates', () => {
    expect(retryAfterSecs('7', 0)).toBe(7);
    expect(retryAfterSecs('Thu, 01 Jan 1970 00:00:10 GMT', 2500)).toBe(8);
    expect(retryAfterSecs('Thu, 01 Jan 1970 00:00:10 GMT', 60_000)).toBe(0);
    expect(retryAfterSecs('soon', 0)).toBeUndefined();
    expect(retryAfterSecs(undefined, 0)).toBeUndefined();
  });
});
