export * from './config/index.ts';
export * from './errors.ts';
export * from './harness.ts';
export * from './neuron-api.ts';
export * from './openai/chat.ts';
export * from './openai/completions.ts';
export * from './parse.ts';
export * from './sse.ts';
