/** What an answer took, in one line. */
import { count, duration, rate } from '../format.ts';
import { answerRate, type AnswerTurn } from './conversation.ts';

const endings: Readonly<Record<string, string>> = {
  length: 'cut at the most tokens',
  content_filter: 'cut by a content filter',
};

/** `prompt 41 (12 cached) · answer 14 · first token 85 ms · 39.2 tok/s · on beast` */
export const usageLine = (answer: AnswerTurn): string => {
  const { usage, firstTokenMs, startedMs, node, state, finish } = answer;
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const tokS = answerRate(answer);
  return [
    state === 'stopped' ? 'stopped' : '',
    endings[finish ?? ''] ?? '',
    usage === null ? '' : `prompt ${count(usage.prompt_tokens)}${cached === 0 ? '' : ` (${count(cached)} cached)`}`,
    usage === null ? '' : `answer ${count(usage.completion_tokens)}`,
    firstTokenMs === null ? '' : `first token ${duration(firstTokenMs - startedMs)}`,
    tokS === null ? '' : `${rate(tokS)} tok/s`,
    node === null ? '' : `on ${node}`,
  ]
    .filter((part) => part !== '')
    .join(' · ');
};
