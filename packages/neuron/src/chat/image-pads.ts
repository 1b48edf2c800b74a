/** Makes room in a prompt for its images: each placeholder becomes as many as the tower gives tokens for its image. */
import { CortexError } from '@cortex/core';

/**
 * @param ids prompt with one `imageTokenId` for each image
 * @param nTokensPerImage tokens of each image, in order
 * @throws CortexError `invalid_request` where there are not as many placeholders as images
 */
export const expandImagePadTokens = (
  ids: ArrayLike<number>,
  imageTokenId: number,
  nTokensPerImage: readonly number[],
): Int32Array => {
  let nPads = 0;
  for (let i = 0; i < ids.length; i += 1) if (ids[i] === imageTokenId) nPads += 1;
  if (nPads !== nTokensPerImage.length) {
    throw new CortexError(
      'invalid_request',
      `the prompt has ${nPads} image placeholders for ${nTokensPerImage.length} images`,
      { param: 'messages', facts: { placeholders: nPads, images: nTokensPerImage.length } },
    );
  }
  const expanded = new Int32Array(ids.length - nPads + nTokensPerImage.reduce((sum, n) => sum + n, 0));
  let iImage = 0;
  let end = 0;
  for (let i = 0; i < ids.length; i += 1) {
    const id = ids[i] ?? 0;
    const n = id === imageTokenId ? (nTokensPerImage[iImage++] ?? 0) : 1;
    expanded.fill(id, end, end + n);
    end += n;
  }
  return expanded;
};
