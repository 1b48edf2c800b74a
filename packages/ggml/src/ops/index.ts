/** ggml's operations, as functions of the context that the new node is made in. */
export * from './arithmetic.ts';
export * from './attention.ts';
export { ShapeError } from './check.ts';
export * from './layout.ts';
export * from './matmul.ts';
export * from './recurrent.ts';
