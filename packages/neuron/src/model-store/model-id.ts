/** Model ids come from requests and become paths: only harmless ones pass. */
import { CortexError } from '@cortex/core';

const idCharsMax = 256;
/** Also keeps out `.`, `..`, hidden folders, and names that a shell or another system would read as something else. */
const segmentPattern = /^[A-Za-z0-9_][\w.+@ -]*$/;
const hubSegment = /^[A-Za-z0-9_][\w.-]{0,95}$/;

/** The parts between slashes. @throws CortexError `invalid_request` for anything that is not a plain relative path. */
export const modelIdParts = (id: string): readonly string[] => {
  const parts = id.split('/');
  if (id.length <= idCharsMax && parts.every((part) => segmentPattern.test(part))) return parts;
  throw new CortexError('invalid_request', 'a model id is NAME or ORG/NAME, of letters, digits and . _ + @ -', {
    param: 'model',
  });
};

/** `NAME` or `ORG/NAME` as the hub allows them. It allows no `--`: its cache writes a slash so. */
export const isHubId = (id: string): boolean => {
  const parts = id.split('/');
  return parts.length <= 2 && !/--|\.\./.test(id) && parts.every((part) => hubSegment.test(part));
};
