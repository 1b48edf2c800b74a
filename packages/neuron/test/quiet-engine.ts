/** For tests and benchmarks: the engine itself, in this process and without a log. */
import type { GgmlConfig } from '@cortex/core';
import { pino } from 'pino';
import { createGgmlEngine } from '../src/harness/create-ggml-engine.ts';
import type { Engine } from '../src/main.ts';
import { ModelStore } from '../src/model-store/model-store.ts';

/** @param modelDir the only place where it looks for models. */
export const quietEngine = (modelDir: string, config: GgmlConfig): Promise<Engine> =>
  createGgmlEngine({
    config,
    env: {},
    defaultModels: [],
    store: new ModelStore({ modelDirs: [modelDir], hubCacheDir: '/nowhere', hub: null }),
    log: pino({ level: 'silent' }),
  });
