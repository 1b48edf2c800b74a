/** A config file's JSON Schema: editors complete its keys, show what they mean and mark what is wrong while it is typed. */
import { z } from 'zod';

/**
 * Draft 7, which the TOML extensions of editors read. It describes the file as it is written: values that are read into
 * something else, such as an address, are the strings they are written as. What needs the whole file, such as two nodes
 * of one name, is left to `check-config`.
 */
export const configJsonSchema = (schema: z.ZodType, title: string): string => {
  const { $schema, ...body } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' });
  return `${JSON.stringify({ $schema, title, ...body }, null, 2)}\n`;
};
