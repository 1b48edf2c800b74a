export * from './content.ts';
export * from './message.ts';
export * from './request.ts';
