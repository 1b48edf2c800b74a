/**
 * What is used of `@huggingface/jinja`, with types: the declarations it ships import each other without file
 * extensions, which NodeNext resolution does not follow.
 */
import * as jinja from '@huggingface/jinja';

/** A value at run time; its class is the library's own. */
export interface TemplateValue {
  readonly type: string;
  readonly value: unknown;
}

/** A node of the syntax tree. */
export interface TemplateNode {
  type: string;
  [field: string]: unknown;
}

export interface Program extends TemplateNode {
  readonly body: readonly TemplateNode[];
}

export interface Environment {
  /** Declares `name` in this scope, `value` turned into the library's own. */
  set(name: string, value: unknown): TemplateValue;
}

interface Interpreter {
  run(program: Program): TemplateValue;
  /** Every node passes through here. */
  evaluate(node: TemplateNode | undefined, environment: Environment): TemplateValue;
}

interface Library {
  readonly tokenize: (text: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown;
  readonly parse: (tokens: unknown) => Program;
  readonly Environment: new () => Environment;
  readonly Interpreter: new (environment: Environment) => Interpreter;
}

const library = jinja as unknown as Library;

export const { Environment, Interpreter } = library;

/** Blocks swallow the blanks before and the newline after them, as in `apply_chat_template`; newlines become `\n`. */
export const parseTemplate = (text: string): Program =>
  library.parse(library.tokenize(text.replaceAll(/\r\n?/g, '\n'), { lstrip_blocks: true, trim_blocks: true }));
