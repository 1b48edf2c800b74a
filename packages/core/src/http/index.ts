/** What gateway and neuron both read requests with. */
export * from './body-budget.ts';
export * from './json-body.ts';
export * from './request-id.ts';
export * from './utf8.ts';
