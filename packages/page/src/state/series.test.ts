import { describe, expect, it } from 'vitest';
import type { FinishedRequest } from '@cortex/core';
import { median, modelsMax, seriesOf } from './series.ts';

const request = (ended_at: number, model: string | null, ttft_ms: number | null): FinishedRequest =>
  ({ ended_at, model, ttft_ms }) as FinishedRequest;

const ttft = ({ ttft_ms: ms }: FinishedRequest): number | null => ms;

describe('requests as points over time', () => {
  it('are in order of time, a series for each model, with gaps where another one ended', () => {
    const series = seriesOf([request(3000, 'b', 30), request(2000, 'a', 20), request(1000, 'b', 10)], ttft);
    expect(series).toEqual({
      times: [1, 2, 3],
      models: [
        { model: 'a', values: [null, 20, null] },
        { model: 'b', values: [10, null, 30] },
      ],
    });
  });

  it('leave out what has no such figure or no model', () => {
    expect(seriesOf([request(1, 'a', null), request(2, null, 5)], ttft)).toEqual({ times: [], models: [] });
  });

  it('put the rarer of many models together', () => {
    const many = Array.from({ length: 9 }, (_, i) =>
      Array.from({ length: 9 - i }, (_each, j) => request(i * 10 + j, `m${i}`, 1)),
    ).flat();
    const { models, times } = seriesOf(many, ttft);
    expect(models.map(({ model }) => model)).toEqual(['m0', 'm1', 'm2', 'm3', 'others']);
    expect(models).toHaveLength(modelsMax);
    const nValues = models.flatMap(({ values }) => values).filter((value) => value !== null).length;
    expect(nValues).toBe(times.length);
  });

  it('have a middle', () => {
    expect([median([]), median([7]), median([9, 1, 5]), median([4, 1, 3, 2])]).toEqual([null, 7, 5, 2]);
  });
});
