/** Requests that have ended as points over time, a series for each model, in the aligned columns that plots are made of. */
import type { FinishedRequest } from '@cortex/core';

export interface Series {
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly models: readonly { readonly model: string; readonly values: readonly (number | null)[] }[];
}

/** More are one series called `others`: more colours can't be told apart. */
export const modelsMax = 5;

/** @param read null where a request has no such figure */
export const seriesOf = (
  finished: readonly FinishedRequest[],
  read: (request: FinishedRequest) => number | null,
): Series => {
  const points = finished
    .flatMap((request) => {
      const value = read(request);
      return value === null || request.model === null ? [] : [{ at: request.ended_at, model: request.model, value }];
    })
    .toSorted((a, b) => a.at - b.at);
  const counts = new Map<string, number>();
  for (const { model } of points) counts.set(model, (counts.get(model) ?? 0) + 1);
  const ranked = [...counts].toSorted((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([model]) => model);
  const named = new Set(ranked.length > modelsMax ? ranked.slice(0, modelsMax - 1) : ranked);
  const nameOf = (model: string): string => (named.has(model) ? model : 'others');
  const names = [...named].toSorted((a, b) => a.localeCompare(b));
  if (ranked.length > named.size) names.push('others');
  return {
    times: points.map(({ at }) => at / 1000),
    models: names.map((model) => ({
      model,
      values: points.map((point) => (nameOf(point.model) === model ? point.value : null)),
    })),
  };
};

/** The middle one; the lower of two middle ones; null of none. */
export const median = (values: readonly number[]): number | null =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? null;
