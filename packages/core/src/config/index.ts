export * from './config-error.ts';
export * from './cortex.ts';
export * from './example.ts';
export * from './load.ts';
export * from './models.ts';
export { nearestKey } from './nearest-key.ts';
export * from './neuron.ts';
export type { EnvironmentOptions, Override } from './overrides.ts';
