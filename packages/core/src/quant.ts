/** Number types that weights can be loaded as, by the name that `quant` has them under. */
export const quantNames = [
  'auto',
  'f32',
  'f16',
  'bf16',
  'q8_0',
  'q6k',
  'q5k',
  'q5_0',
  'q4k',
  'q4_0',
  'iq4_xs',
  'iq4_nl',
] as const;

/** `auto` keeps what the files have. */
export type QuantName = (typeof quantNames)[number];
