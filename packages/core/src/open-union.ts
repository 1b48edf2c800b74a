/**
 * Unions tagged by `type` that stay open: a tag nobody here knows passes as `ignored`, as a client of a later date
 * may send it, for whoever reads it to skip or to refuse; a known tag with wrong members is still an error. Both
 * Anthropic's and the Responses protocol grow so.
 */
import { z } from 'zod';

export interface Ignored {
  readonly type: 'ignored';
  /** What it says it is. */
  readonly tag: string;
}

/** Anything with a tag outside `known`. To be the last branch of a union with the schemas of those. */
export const unknownTag = (known: readonly string[]): z.ZodType<Ignored> => {
  const tags = new Set(known);
  return z
    .looseObject({ type: z.string().refine((tag) => !tags.has(tag), { message: 'has members of a wrong kind' }) })
    .transform(({ type }): Ignored => ({ type: 'ignored', tag: type.slice(0, 64) }));
};

/** The tags a discriminated union takes. */
export const tagsOf = (options: readonly { readonly shape: { readonly type: z.ZodLiteral<string> } }[]): string[] =>
  options.flatMap((option) => [...option.shape.type.values]);
