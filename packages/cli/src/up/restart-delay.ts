/** How long to wait before a process that died is started again. Pure. */

const firstMs = 500;
const maxMs = 30_000;
/** Having run for this long, its death has nothing to do with the deaths before. */
const settledMs = 60_000;

export interface Restart {
  /** Deaths in a row, this one counted. */
  readonly deaths: number;
  readonly delayMs: number;
}

/** @param deathsBefore in a row @param ranMs how long it lived this time */
export const restartAfter = (deathsBefore: number, ranMs: number): Restart => {
  const deaths = ranMs >= settledMs ? 1 : deathsBefore + 1;
  return { deaths, delayMs: Math.min(maxMs, firstMs * 2 ** Math.min(deaths - 1, 16)) };
};
