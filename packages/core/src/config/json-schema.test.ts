import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { cortexConfigSchema } from './cortex.ts';
import { exampleWithEverything } from './example.ts';
import { configJsonSchema } from './json-schema.ts';
import { modelsConfigSchema } from './models.ts';
import { neuronConfigSchema } from './neuron.ts';

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly additionalProperties?: unknown;
}

const tables = (node: Node, path: string): { readonly path: string; readonly node: Node }[] => [
  ...(node.type === 'object' ? [{ path, node }] : []),
  ...Object.entries(node.properties ?? {}).flatMap(([key, child]) => tables(child, `${path}.${key}`)),
  ...(node.items === undefined ? [] : tables(node.items, `${path}[]`)),
];

const files: readonly (readonly [string, z.ZodType, string])[] = [
  ['cortex', cortexConfigSchema, 'cortex.toml: the gateway'],
  ['models', modelsConfigSchema, 'models.toml: the catalogue'],
  ['neuron', neuronConfigSchema, 'neuron.toml: a neuron'],
];

describe.each(files)('schemas/%s.schema.json', (name, schema, title) => {
  const text = configJsonSchema(schema, title);
  const root = JSON.parse(text) as Node;

  it('is the schema that the program parses with (-u after the path writes it anew)', async () => {
    await expect(text).toMatchFileSnapshot(`../../../../schemas/${name}.schema.json`);
  });

  it('takes no key that the program would refuse', () => {
    // Only [aliases] has keys of the user's own.
    const open = tables(root, '').filter(({ node }) => node.additionalProperties !== false);
    expect(open.map(({ path }) => path)).toEqual(name === 'models' ? ['.aliases'] : []);
  });

  it('explains every key and knows each one of the example file', () => {
    const keys = new Set<string>();
    for (const { node } of tables(root, '')) {
      for (const [key, child] of Object.entries(node.properties ?? {})) {
        keys.add(key);
        expect(child.type === 'object' || child.description, key).toBeTruthy();
      }
    }
    const inExample = [...exampleWithEverything(schema).matchAll(/^(\w+) = /gm)].map((match) => match[1]);
    expect(inExample.length).toBeGreaterThan(5);
    expect(inExample.filter((key) => key !== undefined && !keys.has(key))).toEqual([]);
  });
});
