/**
 * Where rows of encoded images go in a chunk of a prompt: pads take the images' rows in order, counted over the whole
 * prompt, so a chunk may begin and end within an image.
 */
import { CortexError } from '@cortex/core';

/** Adjacent pads that take adjacent rows of one image. */
export interface SpliceRun {
  /** Index of the first pad in the chunk. */
  readonly start: number;
  readonly length: number;
  readonly iImage: number;
  /** First row, counted within that image. */
  readonly imageRow: number;
}

/**
 * @param inputIds The chunk, its pads expanded.
 * @param nRowsBefore Pads in the chunks before this one.
 * @param nTokensPerImage Rows of each image of the whole prompt, in order.
 * @returns Runs in the order of the chunk: separate runs of pads and adjacent images are runs of their own.
 * @throws CortexError `internal_error` when there are more pads than rows.
 */
export const spliceRuns = (
  inputIds: Int32Array,
  imageTokenId: number,
  nRowsBefore: number,
  nTokensPerImage: readonly number[],
): SpliceRun[] => {
  const nRows = nTokensPerImage.reduce((sum, n) => sum + n, 0);
  const nPads = nRowsBefore + inputIds.reduce((sum, id) => sum + (id === imageTokenId ? 1 : 0), 0);
  if (nPads > nRows)
    throw new CortexError('internal_error', `${nPads} image pads up to here, but the images have ${nRows} rows`);

  let iImage = 0;
  let imageRow = nRowsBefore;
  const runs: SpliceRun[] = [];
  let start = inputIds.indexOf(imageTokenId);
  while (start !== -1) {
    // Rows are enough, so the image of this row is found before the images end.
    while (imageRow >= (nTokensPerImage[iImage] ?? Infinity)) {
      imageRow -= nTokensPerImage[iImage] ?? 0;
      iImage += 1;
    }
    const nLeft = (nTokensPerImage[iImage] ?? 0) - imageRow;
    let length = 1;
    while (length < nLeft && inputIds[start + length] === imageTokenId) length += 1;
    runs.push({ start, length, iImage, imageRow });
    imageRow += length;
    start = inputIds.indexOf(imageTokenId, start + length);
  }
  return runs;
};
