import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { profiles } from '../../test/fleet/simulated-fleet.ts';
import { nodeView } from '../../test/fleet/views.ts';
import { LoadBook } from './load-book.ts';

const book = (): LoadBook => new LoadBook({ coolDownMs: 1000, coolDownMaxMs: 5000 });
const failed = new CortexError('model_load_failed', 'bad tensor');
const free = (mb: number) => ({ mb, devices: [0], evictable: true });
const tooBig = new CortexError('insufficient_vram', 'no room');

describe('estimates of load times', () => {
  it('come from this model here, then from the speed of the node, then from the model elsewhere', () => {
    const lessons = book();
    expect(lessons.estimateMs('m', 'n', 1000)).toBeNull();
    lessons.loaded('m', 'elsewhere', 8000, 4000);
    expect(lessons.estimateMs('m', 'n', null)).toBe(8000);
    lessons.loaded('other', 'n', 1000, 2000);
    expect(lessons.estimateMs('m', 'n', 4000)).toBe(2000);
    lessons.loaded('m', 'n', 3000, 4000);
    expect(lessons.estimateMs('m', 'n', 4000)).toBe(3000);
  });

  it('follow the newest loads', () => {
    const lessons = book();
    lessons.loaded('m', 'n', 1000, 1);
    lessons.loaded('m', 'n', 3000, 1);
    expect(lessons.estimateMs('m', 'n', null)).toBe(2000);
  });
});

describe('a cool-down', () => {
  it('doubles with each failure in a row, up to a limit, and ends with a success', () => {
    const lessons = book();
    const pauses: (number | undefined)[] = [];
    for (let i = 0; i < 5; i += 1) {
      lessons.failed('m', 'n', failed, free(0), 0);
      pauses.push(lessons.coolDown('m', 'n', 0)?.untilMs);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 5000, 5000]);
    expect(lessons.coolDown('m', 'n', 5000)).toBeNull();
    expect(lessons.coolDown('m', 'other', 0)).toBeNull();
    lessons.loaded('m', 'n', 1, 1);
    expect(lessons.coolDown('m', 'n', 0)).toBeNull();
  });

  it('is lifted where an operator asks for the model by name', () => {
    const lessons = book();
    lessons.failed('m', 'n', failed, free(0), 0);
    lessons.failed('x', 'n', failed, free(0), 0);
    lessons.forgive('m');
    expect(lessons.coolDown('m', 'n', 0)).toBeNull();
    expect(lessons.coolDown('x', 'n', 0)).not.toBeNull();
  });
});

describe('the memory to keep for a model', () => {
  const [profile] = profiles({ id: 'm', vram_mb: 9000 });
  const said = nodeView('n', { models: { m: { vramNeededMb: 7000 } } }).models.get('m');

  it("is the node's word, then the operator's, then what it took before", () => {
    const lessons = book();
    expect(lessons.needMb('m', 'n', undefined, undefined, 0)).toBeNull();
    lessons.loaded('m', 'elsewhere', null, 8000);
    expect(lessons.needMb('m', 'n', undefined, undefined, 0)).toBe(8000);
    expect(lessons.needMb('m', 'n', undefined, profile, 0)).toBe(9000);
    expect(lessons.needMb('m', 'n', said, profile, 0)).toBe(7000);
  });

  it('is more than what a load was refused with, and such a load is tried again at once while it gets more', () => {
    const lessons = book();
    lessons.failed('m', 'n', tooBig, free(7500), 0);
    expect(lessons.needMb('m', 'n', said, undefined, 0)).toBe(7501);
    expect(lessons.coolDown('m', 'n', 0)).toBeNull();
    lessons.failed('m', 'n', tooBig, free(8500), 0);
    expect(lessons.coolDown('m', 'n', 0)).toBeNull();
    lessons.failed('m', 'n', tooBig, free(8500), 0);
    expect(lessons.coolDown('m', 'n', 0)).not.toBeNull();
    expect(lessons.needMb('m', 'n', said, undefined, 5000)).toBe(7000);
  });

  it('is as before once it loads into no more than it was refused with: others had held that', () => {
    const lessons = book();
    lessons.failed('m', 'n', tooBig, free(7500), 0);
    lessons.loaded('m', 'n', 1000, 7000);
    expect(lessons.needMb('m', 'n', said, undefined, 0)).toBe(7000);
    lessons.failed('m', 'n', tooBig, free(7500), 0);
    lessons.loaded('m', 'n', 1000, 7800);
    expect(lessons.needMb('m', 'n', said, undefined, 0)).toBe(7501);
  });

  it('is not corrected where no model could make more room', () => {
    const lessons = book();
    lessons.failed('m', 'n', tooBig, { ...free(9000), evictable: false }, 0);
    expect(lessons.needMb('m', 'n', said, undefined, 0)).toBe(7000);
  });
});

const refusal = { ...free(9000), evictable: false };
const refused = (): LoadBook => {
  const lessons = book();
  lessons.failed('m', 'n', tooBig, refusal, 100);
  return lessons;
};
const judged = (lessons: LoadBook): readonly boolean[] => [
  lessons.isDoubted('m', 'n'),
  lessons.coolDown('m', 'n', 200) !== null,
];

describe('a load refused for memory that should have been free', () => {
  it('waits for a look at the node that began later', () => {
    const lessons = refused();
    lessons.looked('n', 50, () => 0, 150);
    lessons.looked('other', 150, () => 0, 150);
    expect(judged(lessons)).toEqual([true, false]);
  });

  it('may be tried again where others have taken the memory', () => {
    const lessons = refused();
    lessons.looked('n', 150, () => 8999, 160);
    expect(judged(lessons)).toEqual([false, false]);
  });

  it('cools down where the memory is as free as before, or when it happens again and again', () => {
    const lessons = refused();
    lessons.looked('n', 150, () => 9000, 160);
    expect(judged(lessons)).toEqual([false, true]);
    const often = refused();
    often.failed('m', 'n', tooBig, refusal, 101);
    often.failed('m', 'n', tooBig, refusal, 102);
    expect(often.coolDown('m', 'n', 200)).not.toBeNull();
  });
});
