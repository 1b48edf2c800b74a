/** Parse at the edge: an outside value through a schema, or an `invalid_request` that names the field. */
import type { z } from 'zod';
import { CortexError } from './errors.ts';

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`),
    '',
  );

type Issue = z.core.$ZodIssue;

/** Of a union's failures the deepest says most about what was meant. */
const deepest = (issue: Issue): Issue => {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const inner = issue.errors
    .flatMap((branch) => branch.slice(0, 1))
    .map((first) => deepest({ ...first, path: [...issue.path, ...first.path] }))
    .toSorted((a, b) => b.path.length - a.path.length);
  const best = inner[0];
  return best !== undefined && best.path.length > issue.path.length ? best : issue;
};

/** What zod says of a field that is not there names what it is not. */
const messageOf = (issue: Issue): string =>
  issue.code === 'invalid_type' && issue.input === undefined && issue.message.endsWith('received undefined')
    ? `missing, ${issue.message.replace(/^Invalid input: |, received undefined$/g, '')}`
    : issue.message;

/** First issue of a failed parse as `field: what is wrong`, with the field's path. */
export const describeIssue = (error: z.ZodError): { param: string; message: string } => {
  const first = error.issues[0];
  if (first === undefined) return { param: '', message: 'invalid value' };
  const issue = deepest(first);
  const param = pathText(issue.path);
  return { param, message: param === '' ? messageOf(issue) : `${param}: ${messageOf(issue)}` };
};

/** @throws CortexError `invalid_request`, with `param` set to the path of the first wrong field. */
export const parseRequest = <T>(schema: z.ZodType<T>, body: unknown): T => {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const { param, message } = describeIssue(result.error);
  throw new CortexError('invalid_request', message, param === '' ? {} : { param });
};
