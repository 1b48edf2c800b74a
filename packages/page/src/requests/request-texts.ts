/** What is said of a request in a few words. */
import type { FinishedRequest, LiveRequest } from '@cortex/core';
import { count, duration, percent } from '../format.ts';

/** What a waiting request waits for, in a few words. */
export const waitText = ({ wait, phase }: Pick<LiveRequest, 'wait' | 'phase'>): string => {
  if (wait === null || (phase !== 'queued' && phase !== 'loading')) return '';
  if (wait.kind === 'queued') return `place ${wait.position}`;
  const eta = wait.etaSecs === null ? '' : `, ${Math.ceil(wait.etaSecs)} s left`;
  return `${percent(wait.fraction)} on ${wait.node}${eta}`;
};

/** Before the first token: `queue 3 ms, load 2.10 s, prefill 80 ms`. */
export const whereItWent = ({ queue_ms, load_ms, prefill_ms, attempts }: FinishedRequest): string =>
  [
    queue_ms >= 1 ? `queue ${duration(queue_ms)}` : '',
    load_ms >= 1 ? `load ${duration(load_ms)}` : '',
    prefill_ms === null ? '' : `prefill ${duration(prefill_ms)}`,
    attempts > 1 ? `${attempts} nodes tried` : '',
  ]
    .filter((part) => part !== '')
    .join(', ');

/** `412 (380 cached) → 96` */
export const tokenText = ({ prompt_tokens, cached_tokens, completion_tokens }: FinishedRequest): string => {
  if (prompt_tokens === null || completion_tokens === null) return '–';
  const cached = cached_tokens === null || cached_tokens === 0 ? '' : ` (${count(cached_tokens)} cached)`;
  return `${count(prompt_tokens)}${cached} → ${count(completion_tokens)}`;
};

/** Shorter than this, what is measured is the delivery. */
const decodeMsMin = 10;

/** Tokens a second of an answer that came over a time, not in one delivery. */
export const steadyRate = ({ duration_ms, ttft_ms, tok_s }: FinishedRequest): number | null =>
  ttft_ms === null || duration_ms - ttft_ms < decodeMsMin ? null : tok_s;
