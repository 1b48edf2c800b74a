/**
 * A chat template, parsed once, with the places where the Jinja library departs from Python's Jinja turned into calls
 * of our own functions (`template-python.ts`). Their names hold a space, so no template can have a variable like them.
 */
import { parseTemplate, type Program, type TemplateNode as Node } from './template-library.ts';

export const pythonCalls = {
  strip: 'python strip',
  lstrip: 'python lstrip',
  rstrip: 'python rstrip',
  text: 'python str',
  equals: 'python eq',
  differs: 'python ne',
} as const;

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

/** A call node can only come from the parser: the library does not export its node classes. */
const callOf = (name: string, args: readonly unknown[]): Node => {
  const [node] = parseTemplate('{{ f() }}').body;
  if (!isNode(node) || !isNode(node['callee'])) throw new TypeError('the Jinja parser gave no call');
  node['callee']['value'] = name;
  node['args'] = [...args];
  return node;
};

const isIdentifier = (value: unknown): value is Node & { value: string } =>
  isNode(value) && value.type === 'Identifier' && typeof value['value'] === 'string';

const isStripName = (name: string): name is 'strip' | 'lstrip' | 'rstrip' =>
  name === 'strip' || name === 'lstrip' || name === 'rstrip';

const rewriteCall = (node: Node): Node => {
  const { callee } = node;
  if (!isNode(callee) || callee.type !== 'MemberExpression' || callee['computed'] === true) return node;
  const { property } = callee;
  if (!isIdentifier(property) || !isStripName(property.value)) return node;
  return callOf(pythonCalls[property.value], [callee['object'], ...(node['args'] as readonly unknown[])]);
};

const rewriteFilter = (node: Node): Node => {
  const { filter, operand } = node;
  if (isIdentifier(filter)) {
    if (filter.value === 'trim') return callOf(pythonCalls.strip, [operand]);
    if (filter.value === 'string') return callOf(pythonCalls.text, [operand]);
    return node;
  }
  if (!isNode(filter) || !isIdentifier(filter['callee']) || filter['callee'].value !== 'trim') return node;
  return callOf(pythonCalls.strip, [operand, ...(filter['args'] as readonly unknown[])]);
};

const rewriteOperator = (node: Node): Node => {
  const { operator, left, right } = node;
  switch (isNode(operator) ? operator['value'] : undefined) {
    case '==':
      return callOf(pythonCalls.equals, [left, right]);
    case '!=':
      return callOf(pythonCalls.differs, [left, right]);
    case '~':
      node['left'] = callOf(pythonCalls.text, [left]);
      node['right'] = callOf(pythonCalls.text, [right]);
      return node;
    default:
      return node;
  }
};

const rewriteNode = (node: Node): Node => {
  switch (node.type) {
    case 'CallExpression':
      return rewriteCall(node);
    case 'FilterExpression':
      return rewriteFilter(node);
    case 'BinaryExpression':
      return rewriteOperator(node);
    default:
      return node;
  }
};

/** Statements that print nothing themselves, or a string already. */
const silent = new Set(['StringLiteral', 'Comment', 'Set', 'If', 'For', 'Macro', 'CallStatement', 'FilterStatement']);
const control = new Set(['Break', 'Continue']);
const blocks = new Set(['body', 'alternate', 'defaultBlock']);

const printed = (statement: unknown): unknown =>
  isNode(statement) && !silent.has(statement.type) && !control.has(statement.type)
    ? callOf(pythonCalls.text, [statement])
    : statement;

const rewrite = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(rewrite);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [rewrite(key), rewrite(item)]));
  if (!isNode(value)) return value;
  for (const [field, child] of Object.entries(value)) {
    if (typeof child !== 'object' || child === null) continue;
    const rewritten = rewrite(child);
    value[field] = blocks.has(field) && Array.isArray(rewritten) ? rewritten.map(printed) : rewritten;
  }
  return rewriteNode(value);
};

/** Methods and filters that cut or join text at the strings they are given. */
const cutters = new Set(['split', 'replace', 'strip', 'lstrip', 'rstrip', 'trim']);

const collectCuts = (value: unknown, cuts: Set<string>): void => {
  if (Array.isArray(value) || value instanceof Map) for (const item of value) collectCuts(item, cuts);
  if (!isNode(value)) return;
  if (value.type === 'CallExpression' && isNode(value['callee'])) {
    const { callee } = value;
    const name = callee.type === 'MemberExpression' ? callee['property'] : callee;
    if (isIdentifier(name) && cutters.has(name.value)) {
      for (const arg of value['args'] as readonly unknown[])
        if (isNode(arg) && arg.type === 'StringLiteral') cuts.add(String(arg['value']));
    }
  }
  for (const child of Object.values(value)) collectCuts(child, cuts);
};

export interface TemplateProgram {
  readonly program: Program;
  /** Strings at which the template cuts the texts it is given. */
  readonly cuts: ReadonlySet<string>;
}

/** @throws Error where the text is no Jinja template. */
export const compileTemplate = (text: string): TemplateProgram => {
  const program = parseTemplate(text);
  const cuts = new Set<string>();
  collectCuts(program, cuts);
  return { program: rewrite(program) as Program, cuts };
};
