import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CortexError } from '@cortex/core';
import { Admission, type AdmissionOptions, type Place } from './admission.ts';

const newAdmission = (options: Partial<AdmissionOptions>): Admission =>
  new Admission({ modelId: 'm', nSlots: 1, queueMax: 9, waitMsMax: 60_000, ...options });

const refusal = (admission: Admission, nSequences = 1, client = 'a'): CortexError | null => {
  try {
    admission.enter(nSequences, client);
    return null;
  } catch (error) {
    return error as CortexError;
  }
};

describe('Admission', () => {
  it('lets as many run as there are slots, as many wait as the queue takes, and refuses the next', () => {
    const admission = newAdmission({ nSlots: 2, queueMax: 3 });
    for (let i = 0; i < 5; i += 1) admission.enter(1, 'a');
    expect([admission.nRunning, admission.nWaiting]).toEqual([2, 3]);
    expect(refusal(admission)).toMatchObject({ code: 'rate_limit_exceeded', facts: { limit: 3 } });
    expect(admission.nRejected).toBe(1);
  });

  it("keeps nobody out whose first request it is because of another's queue, but for twice as many in all", () => {
    const admission = newAdmission({ nSlots: 1, queueMax: 2 });
    for (let i = 0; i < 3; i += 1) admission.enter(1, 'many');
    expect(refusal(admission, 1, 'many')).toMatchObject({ code: 'rate_limit_exceeded' });
    const first = admission.enter(1, 'one');
    expect(refusal(admission, 1, 'one')).toMatchObject({ code: 'rate_limit_exceeded' });
    first.leave();
    admission.enter(1, 'one');
    admission.enter(1, 'two');
    expect(admission.nWaiting).toBe(4);
    expect(refusal(admission, 1, 'three')).toMatchObject({ code: 'rate_limit_exceeded' });
  });

  it('runs a request that wants more slots than there are, when it is alone', () => {
    const admission = newAdmission({ nSlots: 2, queueMax: 0 });
    const large = admission.enter(16, 'a');
    expect(refusal(admission)).not.toBeNull();
    large.leave();
    expect(refusal(admission)).toBeNull();
  });

  it('tells to come back after about the time that the queue takes', () => {
    let nowMs = 0;
    const admission = newAdmission({ nSlots: 1, queueMax: 1, now: () => nowMs });
    const first = admission.enter(1, 'a');
    nowMs = 4000;
    first.leave();
    admission.enter(1, 'a');
    admission.enter(1, 'a');
    expect(refusal(admission)?.retryAfterSecs).toBe(8);
  });

  it('does not count the time that requests themselves waited, nor those that never began', () => {
    let nowMs = 0;
    const admission = newAdmission({ nSlots: 1, queueMax: 2, now: () => nowMs });
    const places = [admission.enter(1, 'a'), admission.enter(1, 'a'), admission.enter(1, 'a')];
    for (const place of places) {
      place.admitted();
      nowMs += 4000;
      place.leave();
    }
    admission.enter(1, 'a');
    const gone = admission.enter(1, 'a');
    nowMs += 50_000;
    gone.leave();
    admission.enter(1, 'a');
    admission.enter(1, 'a');
    expect(refusal(admission)?.retryAfterSecs).toBe(12);
  });

  it('tells who waited too long to come back, and nobody who has begun or left', async () => {
    const admission = newAdmission({ waitMsMax: 30 });
    const [begun, left, late] = [admission.enter(1, 'a'), admission.enter(1, 'a'), admission.enter(1, 'a')];
    begun.admitted();
    left.leave();
    await new Promise((resolve) => late.deadline.addEventListener('abort', resolve));
    expect(late.deadline.reason).toMatchObject({
      code: 'overloaded',
      message: 'm had no room for this request within 0.03 s',
      retryAfterSecs: expect.any(Number) as number,
    });
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect([begun.deadline.aborted, left.deadline.aborted]).toEqual([false, false]);
  });

  it('is empty again once all have left, in whatever order and however often', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 4 }), fc.nat(9))), (steps) => {
        const admission = newAdmission({ nSlots: 3, queueMax: 4 });
        const places: Place[] = [];
        for (const [kind, nSequences, which] of steps) {
          const place = places[which % Math.max(1, places.length)];
          if (kind === 0 && admission.nWaiting < 4) places.push(admission.enter(nSequences, 'a'));
          if (kind === 1) place?.admitted();
          if (kind === 2) place?.leave();
          expect(admission.nWaiting).toBeLessThanOrEqual(4);
          expect(admission.nRunning).toBeGreaterThanOrEqual(0);
        }
        for (const place of places) place.leave();
        expect([admission.nRunning, admission.nWaiting]).toEqual([0, 0]);
        expect(refusal(admission, 3)).toBeNull();
        expect(admission.nRunning).toBe(1);
      }),
    );
  });
});
