/** What a sequence's output must look like: plain data, it crosses threads and comes from a request. */

export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

export interface ToolSpec {
  readonly name: string;
  /** JSON Schema of the arguments object; null: the tool takes none. */
  readonly parameters: JsonSchema | null;
}

interface Start {
  /** Free text until the output ends in these token ids (such as `</think>`), then the constraint; null: at once. */
  readonly startAfter: readonly number[] | null;
}

export interface JsonObjectSpec extends Start {
  readonly kind: 'json_object';
}
export interface JsonSchemaSpec extends Start {
  readonly kind: 'json_schema';
  readonly schema: JsonSchema;
}
export interface ToolCallSpec extends Start {
  readonly kind: 'tool_call';
  /** `xml`: `<function=NAME>` with a `<parameter=KEY>` each (Qwen3.5); `json`: one object (Qwen3). */
  readonly format: 'xml' | 'json';
  readonly tools: readonly ToolSpec[];
  readonly choice: 'required' | { readonly name: string };
  /** Whether more than one call may follow. */
  readonly parallel: boolean;
}
export type ConstraintSpec = JsonObjectSpec | JsonSchemaSpec | ToolCallSpec;
