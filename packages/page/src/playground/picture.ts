/** Pictures on their way into a request: as they are, unless they are larger than a request should carry. */
import { bytes, count } from '../format.ts';
import type { Picture } from './conversation.ts';

export interface PictureFacts {
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
}

/** Well under what a gateway takes in one request (64 MB) and a neuron decodes in one picture (64 Mpx). */
export const bytesMax = 16 * 1024 * 1024;
export const pixelsMax = 24 * 1024 * 1024;
export const picturesMax = 16;
/** Of the longer side, once it has to be made smaller. */
const sideMax = 4096;

/** What it has to become, or null: it goes as it is. */
export const fitPicture = ({
  width,
  height,
  bytes: size,
}: PictureFacts): { readonly width: number; readonly height: number } | null => {
  if (size <= bytesMax && width * height <= pixelsMax) return null;
  const scale = Math.min(1, sideMax / Math.max(width, height), Math.sqrt(pixelsMax / (width * height)));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
};

const asDataUri = (blob: Blob): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => {
      if (typeof reader.result === 'string') resolve(reader.result);
    });
    reader.addEventListener('error', () => reject(new Error('The picture can’t be read.')));
    reader.readAsDataURL(blob);
  });

const redraw = async (bitmap: ImageBitmap, width: number, height: number): Promise<Blob> => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('This browser can’t make the picture smaller.');
  // JPEG has no see-through: white stands behind, as the neuron itself puts it.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
};

/** @throws Error why this file can't be sent, for the person. */
export const readPicture = async (file: File): Promise<Picture> => {
  const name = file.name === '' ? 'pasted picture' : file.name;
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${name} is not a picture that this browser can read.`);
  }
  try {
    const { width, height } = bitmap;
    const smaller = fitPicture({ width, height, bytes: file.size });
    if (smaller === null) return { url: await asDataUri(file), name, note: null };
    const blob = await redraw(bitmap, smaller.width, smaller.height);
    const was = `${count(width)} × ${count(height)}, ${bytes(file.size)}`;
    const note = `made smaller here: was ${was}, is ${count(smaller.width)} × ${count(smaller.height)}, ${bytes(blob.size)}`;
    return { url: await asDataUri(blob), name, note };
  } finally {
    bitmap.close();
  }
};
