/** What attention is shared out by among devices: query heads go with the key and value heads that they look at. */
import type { SplitUnit } from '../model/weight-spec.ts';

export const headUnits = ({ nHeadsKv }: { readonly nHeadsKv: number }): SplitUnit => ({
  name: 'key/value heads',
  count: nHeadsKv,
});
