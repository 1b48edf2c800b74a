/**
 * A JSON Schema as it arrived: its subschemas with the place each stands at, and `$ref` resolved within it. The size
 * and depth are checked before anything walks it, so that what follows may recurse.
 */
import { invalidSchema, unsupported } from './compile-error.ts';
import type { JsonSchema } from './spec.ts';

export interface Subschema {
  /** One number per place in the document: equal numbers are the same schema. */
  readonly id: number;
  readonly schema: JsonSchema;
  /** JSON Pointer, from `#`. */
  readonly path: string;
}

const depthMax = 100;
const valuesMax = 50_000;

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws unless the value is plain JSON of reasonable size. `root` names it in the message. */
function checkSize(value: unknown, root: string): void {
  let level = [value];
  let nValues = 0;
  for (let depth = 0; level.length > 0; depth++) {
    nValues += level.length;
    if (depth > depthMax) throw invalidSchema(root, `nested deeper than ${depthMax}`);
    if (nValues > valuesMax) throw invalidSchema(root, `more than ${valuesMax} values`);
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
}

export class SchemaDocument {
  readonly root: Subschema;
  readonly #byPath = new Map<string, Subschema>();
  readonly #byReference = new Map<string, Subschema>();
  readonly #nextId: () => number;

  /** `nextId` is shared by the documents of one compilation, so that ids are unique across them. */
  constructor(schema: unknown, rootPath: string, nextId: () => number) {
    checkSize(schema, rootPath);
    this.#nextId = nextId;
    this.root = this.at(schema, rootPath);
  }

  /** The subschema `value` at `path`; throws when it is not a schema. */
  at(value: unknown, path: string): Subschema {
    const known = this.#byPath.get(path);
    if (known !== undefined) return known;
    if (typeof value !== 'boolean' && !isObject(value)) throw invalidSchema(path, 'a schema is an object or a boolean');
    const subschema = { id: this.#nextId(), schema: value, path };
    this.#byPath.set(path, subschema);
    return subschema;
  }

  /** What `$ref` names: `#` or a JSON Pointer in this document (RFC 6901, percent-encoding undone). */
  resolve(reference: string, path: string): Subschema {
    if (reference !== '#' && !reference.startsWith('#/')) {
      throw unsupported('$ref', path, `"${reference}" does not point into the schema ("#/…")`);
    }
    const known = this.#byReference.get(reference);
    if (known !== undefined) return known;
    let value: unknown = this.root.schema;
    let at = this.root.path;
    for (const token of reference.split('/').slice(1)) {
      const key = unescapeToken(token);
      const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
      if (!inside) throw invalidSchema(path, `"$ref" names "${reference}", which is not there`);
      value = (value as Readonly<Record<string, unknown>>)[key];
      at = `${at}/${escapeToken(key)}`;
    }
    const target = this.at(value, at);
    this.#byReference.set(reference, target);
    return target;
  }
}

/** `/` and `~` as a JSON Pointer writes them. */
export const escapeToken = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');

function unescapeToken(token: string): string {
  let text = token;
  try {
    text = decodeURIComponent(token);
  } catch {
    // Not percent-encoded after all.
  }
  return text.replaceAll('~1', '/').replaceAll('~0', '~');
}
