/**
 * For the demonstration model's test: scenes of coloured shapes and their pictures as PNG, drawn here and nowhere else.
 * Everything follows from the random numbers that are passed in.
 */
import sharp from 'sharp';

export const shapes = ['circle', 'square', 'triangle', 'star', 'cross', 'ring'] as const;
export const colors = ['red', 'green', 'blue', 'yellow', 'purple', 'orange', 'black', 'white'] as const;
export const places = [
  'in the top left',
  'at the top',
  'in the top right',
  'on the left',
  'in the center',
  'on the right',
  'in the bottom left',
  'at the bottom',
  'in the bottom right',
] as const;

export type Shape = (typeof shapes)[number];
export type Color = (typeof colors)[number];
type Background = 'white' | 'gray' | 'black' | 'pink';
type Rgb = readonly [number, number, number];

/** Uniform in 0 … 1 (1 excluded). */
export type Random = () => number;

export interface Thing {
  readonly shape: Shape;
  readonly color: Color;
  readonly place: (typeof places)[number];
  /** Center and radius, pixels. */
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

export interface Scene {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly background: Background;
  readonly things: readonly Thing[];
}

const ink: Readonly<Record<Color | Background, Rgb>> = {
  red: [225, 25, 30],
  green: [20, 150, 50],
  blue: [30, 60, 225],
  yellow: [250, 225, 40],
  purple: [135, 40, 160],
  orange: [250, 140, 25],
  black: [12, 12, 12],
  white: [250, 250, 250],
  gray: [140, 140, 140],
  pink: [250, 190, 205],
};
const backgrounds = ['white', 'gray', 'black', 'pink'] as const;
const sizes = [
  [224, 224],
  [320, 240],
  [240, 320],
  [300, 200],
  [256, 256],
] as const;

/** Mulberry32: 32 bits of state are enough to draw with. */
export const randomFrom = (seed: number): Random => {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

export const oneOf = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random() * values.length)]!;

const shuffled = <T>(random: Random, values: readonly T[]): T[] => {
  const left = [...values];
  for (let i = left.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [left[i], left[j]] = [left[j]!, left[i]!];
  }
  return left;
};

/** `nThings` shapes, no two alike in shape or colour, each well within a place of its own, none touching another. */
export const makeScene = (random: Random, nThings: number): Scene => {
  const [width, height] = oneOf(random, sizes);
  const background = oneOf(random, backgrounds);
  const kinds = shuffled(random, shapes);
  const inks = shuffled(
    random,
    colors.filter((color) => color !== background),
  );
  const unit = Math.sqrt(width * height);
  for (;;) {
    const cells = shuffled(random, [...places.keys()]);
    const things = Array.from({ length: nThings }, (_, i): Thing => {
      const cell = cells[i]!;
      const radius = unit * (random() < 0.5 ? 0.1 + 0.03 * random() : 0.17 + 0.03 * random());
      const within = (index: number, extent: number): number => {
        const wanted = ((index + 0.3 + 0.4 * random()) * extent) / 3;
        return Math.min(Math.max(wanted, radius + 3), extent - radius - 3);
      };
      const [x, y] = [within(cell % 3, width), within(Math.floor(cell / 3), height)];
      return { shape: kinds[i]!, color: inks[i]!, place: places[cell]!, x, y, radius };
    });
    const isClear = things.every((a, i) =>
      things.slice(0, i).every((b) => Math.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius + 4),
    );
    if (isClear) return { width, height, background, things };
  }
};

/** Is (x, y), in radii from the center with y downwards, within the shape? */
const covers: Readonly<Record<Shape, (x: number, y: number) => boolean>> = {
  circle: (x, y) => Math.hypot(x, y) <= 1,
  ring: (x, y) => Math.hypot(x, y) <= 1 && Math.hypot(x, y) >= 0.66,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.8,
  cross: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 1 && Math.min(Math.abs(x), Math.abs(y)) <= 0.3,
  // Below the two slanted sides and above the base.
  triangle: (x, y) => y <= 0.5 && y >= Math.sqrt(3) * Math.abs(x) - 1,
  // Five arms: turned to the nearest one, a point lies under the side from its tip (radius 1) to the notch (0.43 at 36 degrees).
  star: (x, y) => {
    const arm = (2 * Math.PI) / 5;
    const angle = Math.atan2(x, -y);
    const off = Math.abs(angle - Math.round(angle / arm) * arm);
    const r = Math.hypot(x, y);
    const [notchX, notchY] = [0.43 * Math.sin(arm / 2), 0.43 * Math.cos(arm / 2)];
    return r * Math.sin(off) * (1 - notchY) <= notchX * (1 - r * Math.cos(off));
  },
};

const nSubpixels = 3;

/** Part of the pixel at (column, row) that the thing covers, 0 … 1. */
const coverage = ({ shape, x, y, radius }: Thing, column: number, row: number): number => {
  let n = 0;
  for (let i = 0; i < nSubpixels; i += 1)
    for (let j = 0; j < nSubpixels; j += 1) {
      const [px, py] = [column + (i + 0.5) / nSubpixels, row + (j + 0.5) / nSubpixels];
      if (covers[shape]((px - x) / radius, (py - y) / radius)) n += 1;
    }
  return n / nSubpixels ** 2;
};

const png = (pixels: Uint8Array, width: number, height: number): Promise<Buffer> =>
  sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();

/** A colour as it is in one picture: a little off its usual value. */
const mixed = (random: Random, name: Color | Background): number[] =>
  ink[name].map((value) => Math.min(255, Math.max(0, Math.round(value + 16 * (random() - 0.5)))));

export const drawScene = (random: Random, { width, height, background, things }: Scene): Promise<Buffer> => {
  const ground = mixed(random, background);
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = ground[i % 3]!;
  for (const thing of things) {
    const fill = mixed(random, thing.color);
    const reach = thing.radius + 1;
    for (let row = Math.floor(thing.y - reach); row <= thing.y + reach; row += 1)
      for (let column = Math.floor(thing.x - reach); column <= thing.x + reach; column += 1) {
        const part = coverage(thing, column, row);
        if (part === 0) continue;
        for (let c = 0; c < 3; c += 1)
          pixels[(row * width + column) * 3 + c] = Math.round(ground[c]! + (fill[c]! - ground[c]!) * part);
      }
  }
  return png(pixels, width, height);
};

export const drawGrey = (width: number, height: number): Promise<Buffer> =>
  png(new Uint8Array(width * height * 3).fill(128), width, height);
