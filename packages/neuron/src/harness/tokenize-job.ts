/** Counts a text's or a conversation's tokens exactly as a request with it would have them, images included. */
import type { TokenizeRequest, TokenizeResponse } from '@cortex/core';
import { extractImagesFromRequest } from '../chat/image-parts.ts';
import { tokenizeInput } from '../chat/prompt-request.ts';
import type { ImagePreparer } from '../vision/image-preparer.ts';
import { buildChatPrompt } from './chat-job.ts';
import type { PromptSide } from './prompt-side.ts';
import { textToIds } from './text-input.ts';

const neverAborted = new AbortController().signal;

/** @throws CortexError as the prompt of a chat or text completion would. */
export const runTokenize = async (
  request: TokenizeRequest,
  side: PromptSide,
  preparer: ImagePreparer,
  contextMax: number,
): Promise<TokenizeResponse> => {
  const ids =
    typeof request.prompt === 'string'
      ? await textToIds(request.prompt, side, { parseSpecial: true, param: 'prompt' })
      : (
          await buildChatPrompt(
            tokenizeInput(request),
            extractImagesFromRequest({ messages: request.messages ?? null }),
            side,
            preparer,
            neverAborted,
          )
        ).ids;
  return { count: ids.length, max_model_len: contextMax, tokens: [...ids] };
};
