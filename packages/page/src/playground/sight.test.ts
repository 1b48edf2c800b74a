import { describe, expect, it } from 'vitest';
import type { CatalogueModel } from '@cortex/core';
import { whyBlind } from './sight.ts';

const model = (id: string, ...capabilities: readonly string[]): CatalogueModel =>
  ({ id, capabilities }) as CatalogueModel;
const models = [model('eyes', 'text', 'vision'), model('ears', 'text', 'audio'), model('mystery')];

describe('whether a model can be shown a picture', () => {
  it('is said by what it takes, and who else could is named', () => {
    expect(whyBlind(models, 'eyes')).toBeNull();
    expect(whyBlind(models, 'ears')).toBe('ears takes text and audio only, so it can’t see pictures. These can: eyes.');
    expect(whyBlind([model('ears', 'text')], 'ears')).toContain('No model here can.');
  });

  it('is left to the API where nobody says', () => {
    expect(whyBlind(models, 'mystery')).toBeNull();
    expect(whyBlind(models, 'unheard of')).toBeNull();
  });
});
