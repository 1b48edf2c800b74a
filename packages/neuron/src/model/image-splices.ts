/** Where a chunk of a prompt has rows of encoded images in the place of tokens' embeddings. */
import { CortexError } from '@cortex/core';
import { DeviceEmbeds } from './device-embeds.ts';
import type { VisionPrompt } from './device-model.ts';
import { spliceRuns } from './splice-runs.ts';
import type { StepSplice } from './text-step.ts';

/**
 * @param inputIds The chunk, which begins at `offset` of the prompt.
 * @throws CortexError `internal_error` when the prompt's pads are not as many as its images' rows.
 */
export const imageSplices = (
  inputIds: Int32Array,
  offset: number,
  { ids, embeds }: VisionPrompt,
  imageTokenId: number,
): StepSplice[] => {
  const nPads = (part: Int32Array): number => part.reduce((n, id) => (id === imageTokenId ? n + 1 : n), 0);
  const nRowsBefore = nPads(ids.subarray(0, offset));
  const nTokensPerImage = embeds.map(({ nTokens }) => nTokens);
  const nRows = nTokensPerImage.reduce((sum, n) => sum + n, 0);
  if (nPads(ids) !== nRows) {
    throw new CortexError('internal_error', `the prompt has ${nPads(ids)} image pads, its images ${nRows} rows`);
  }
  return spliceRuns(inputIds, imageTokenId, nRowsBefore, nTokensPerImage).map(
    ({ start, length, iImage, imageRow }) => ({
      embeds: deviceEmbeds(embeds[iImage]).tensor,
      firstRow: imageRow,
      firstColumn: start,
      length,
    }),
  );
};

const deviceEmbeds = (embeds: VisionPrompt['embeds'][number] | undefined): DeviceEmbeds => {
  if (embeds instanceof DeviceEmbeds) return embeds;
  throw new TypeError('image embeddings of another model');
};
