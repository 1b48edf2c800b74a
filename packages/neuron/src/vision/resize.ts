/**
 * Antialiased bicubic resize of 8-bit RGB, bit for bit what torchvision's default image processor gives (torch's
 * uint8 kernel): horizontal pass, rounded to 8 bits, then the vertical one, both with 16-bit integer weights.
 * An all-float resize differs by up to 20 levels on hard edges, so the roundings are part of the contract.
 */
import type { Size } from './smart-resize.ts';

/** `rgb` is [height, width, 3], row-major. */
export interface RgbImage extends Size {
  readonly rgb: Uint8Array;
}

/** Output `i` is `Σ_k weights[i·nTaps + k] · in[starts[i] + k]`, k below `counts[i]`, in units of `2^-precision`. */
interface AxisWeights {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly weights: Int16Array;
  readonly nTaps: number;
  readonly precision: number;
}

/** Keys' cubic convolution with a = −0.5. */
const cubic = (distance: number): number => {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
};

/** The most fraction bits that keep the largest weight in 16 bits, as torch counts them. */
const weightPrecision = (largest: number): number => {
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 2 ** 15) precision += 1;
  return precision;
};

const axisWeights = (nIn: number, nOut: number): AxisWeights => {
  const scale = nIn / nOut;
  const filterScale = Math.max(scale, 1);
  const support = 2 * filterScale;
  const nTaps = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(nOut);
  const counts = new Int32Array(nOut);
  const exact = new Float64Array(nOut * nTaps);
  let largest = 0;
  for (let i = 0; i < nOut; i++) {
    const centre = scale * (i + 0.5);
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const count = Math.min(Math.min(Math.trunc(centre + support + 0.5), nIn) - start, nTaps);
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = cubic((k + start - centre + 0.5) / filterScale);
      exact[i * nTaps + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < count; k++) {
      const weight = (exact[i * nTaps + k] ?? 0) / sum;
      exact[i * nTaps + k] = weight;
      largest = Math.max(largest, weight);
    }
    starts[i] = start;
    counts[i] = count;
  }
  const precision = weightPrecision(largest);
  const weights = Int16Array.from(exact, (weight) => Math.trunc(weight * 2 ** precision + (weight < 0 ? -0.5 : 0.5)));
  return { starts, counts, weights, nTaps, precision };
};

const bytesPerPixel = 3;

/** One pass: `height` × `width` is the output's size, `nIn` the input's length along the axis. */
const resample = (input: Uint8Array, axis: 'x' | 'y', nIn: number, { width, height }: Size): Uint8Array => {
  const alongX = axis === 'x';
  const { starts, counts, weights, nTaps, precision } = axisWeights(nIn, alongX ? width : height);
  const rowBytes = (alongX ? nIn : width) * bytesPerPixel;
  const tapStride = alongX ? bytesPerPixel : rowBytes;
  const output = new Uint8ClampedArray(height * width * bytesPerPixel);
  const half = 1 << (precision - 1);
  let at = 0;
  // `as number` stands for bounds that hold by construction of the weights. `Math.imul` and `| 0` keep the sums in
  // 32-bit integers, which halves the time; they do not overflow, as Σ|weight| < 2 · 2^22.
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = alongX ? x : y;
      const start = starts[i] as number;
      const count = counts[i] as number;
      let tap = i * nTaps;
      let from = alongX ? y * rowBytes + start * bytesPerPixel : start * rowBytes + x * bytesPerPixel;
      let red = half;
      let green = half;
      let blue = half;
      for (let k = 0; k < count; k++) {
        const weight = weights[tap] as number;
        red = (red + Math.imul(weight, input[from] as number)) | 0;
        green = (green + Math.imul(weight, input[from + 1] as number)) | 0;
        blue = (blue + Math.imul(weight, input[from + 2] as number)) | 0;
        tap += 1;
        from += tapStride;
      }
      // The clamped array clips to 0..255.
      output[at] = red >> precision;
      output[at + 1] = green >> precision;
      output[at + 2] = blue >> precision;
      at += bytesPerPixel;
    }
  }
  return new Uint8Array(output.buffer);
};

/** A pass whose side is unchanged is skipped, as torch does; with both unchanged the pixels come back as they are. */
export const resizeRgb = (image: RgbImage, { width, height }: Size): RgbImage => {
  let rgb = image.rgb;
  if (image.width !== width) rgb = resample(rgb, 'x', image.width, { width, height: image.height });
  if (image.height !== height) rgb = resample(rgb, 'y', image.height, { width, height });
  return { width, height, rgb };
};
