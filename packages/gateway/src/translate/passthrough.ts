/** OpenAI's own protocol: requests and answers pass as they are, and only what the gateway itself says is written here. */
import { sseComment, sseData } from '@cortex/core';
import type { Dialect, StreamVoice, UpstreamPath, WaitNotice } from './contract.ts';

/** What a silent stream is waiting for, in a few words. */
export const noticeText = (notice: WaitNotice): string => {
  if (notice.kind === 'queued') return `queued, position ${notice.position}`;
  if (notice.kind === 'prefill') return notice.text ?? 'working';
  const eta = notice.etaSecs === null ? '' : `, about ${Math.ceil(notice.etaSecs)} s left`;
  return `loading on ${notice.node}, ${Math.round(notice.fraction * 100)} %${eta}`;
};

const openAiVoice: StreamVoice = {
  keepalive: (notice) => sseComment(noticeText(notice)),
  fail: (error) => sseData(error.toBody()),
};

const passthrough = (name: string, upstreamPath: UpstreamPath): Dialect => ({
  name,
  upstreamPath,
  translate: ({ body }) => ({ request: body, reply: { kind: 'passthrough', voice: openAiVoice } }),
  errorBody: (error) => ({ ...error.toBody() }),
});

export const chatDialect = passthrough('chat', '/v1/chat/completions');
export const completionsDialect = passthrough('completions', '/v1/completions');
export const embeddingsDialect = passthrough('embeddings', '/v1/embeddings');
