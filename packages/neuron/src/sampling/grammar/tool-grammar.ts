/**
 * Tool calls as models write them. `xml` (Qwen3.5): `<tool_call>`, `<function=NAME>`, a `<parameter=KEY>` each with its
 * value on lines of its own, text as it is and everything else as JSON. `json` (Qwen3): one object in `<tool_call>`.
 * Invariant: no line of a value begins like a tag that could end it, so whoever reads it finds the same end.
 */
import { CortexError } from '@cortex/core';
import { CompileBudget, invalidSchema, unsupported } from './compile-error.ts';
import { choice, empty, never, oneOfTexts, repeat, Rule, sequence, text, use, type Expression } from './expression.ts';
import { JsonGrammar } from './json-grammar.ts';
import { colon, leadingSpace, oneOfLiterals } from './json-syntax.ts';
import { regexAutomaton } from './regex-automaton.ts';
import { SchemaDocument, type Subschema } from './schema-document.ts';
import { alternatives, type Facts } from './schema-facts.ts';
import { additionalMembers, listedValueSatisfies, memberNames, memberSchemas, possibleTypes } from './schema-views.ts';
import type { ToolCallSpec, ToolSpec } from './spec.ts';
import { limitedText } from './string-grammar.ts';
import { both, textExcept, textWithout } from './text-automaton.ts';

/** A model that loops must end some time. */
const callsMax = 64;
const closingLine = '\n</parameter>';
/** What a reader may take for the end of a value; the text follows a line break. */
const structural = [closingLine, '\n<parameter=', '\n</function>', '\n</tool_call>'];
const plainText = textWithout(structural, '\n', new CompileBudget(10_000));
const freeText = new Rule(() => ({ kind: 'text', automaton: plainText, encoding: 'raw', min: 0, max: null }));

export function toolCallGrammar(spec: ToolCallSpec, budget: CompileBudget): Expression {
  const { choice: chosen } = spec;
  const tools = chosen === 'required' ? spec.tools : spec.tools.filter(({ name }) => name === chosen.name);
  if (tools.length === 0) {
    const wanted =
      chosen === 'required' ? 'a tool call is required, but there are no tools' : `there is no tool "${chosen.name}"`;
    throw new CortexError('invalid_request', wanted, { param: 'tool_choice' });
  }
  let id = 0;
  const nextId = (): number => id++;
  const calls = tools.map((tool) => {
    const body = spec.format === 'xml' ? xmlCall(tool, nextId, budget) : jsonCall(tool, nextId, budget);
    return use(new Rule(() => body));
  });
  const call = new Rule(() => sequence(text('<tool_call>\n'), choice(...calls), text('\n</tool_call>')));
  const more = spec.parallel ? repeat(sequence(text('\n'), use(call)), 0, callsMax - 1) : empty;
  return sequence(leadingSpace, use(call), more);
}

/** The arguments: what the tool's schema says, and an object in any case. */
function argumentsOf(
  tool: ToolSpec,
  nextId: () => number,
  budget: CompileBudget,
): { grammar: JsonGrammar; schemas: Subschema[] } {
  const path = `tools/${tool.name}/parameters`;
  const document = new SchemaDocument(tool.parameters ?? { additionalProperties: false }, path, nextId);
  const anObject = document.at({ type: 'object' }, `${path} (arguments)`);
  return { grammar: new JsonGrammar(document, budget), schemas: [document.root, anObject] };
}

function jsonCall(tool: ToolSpec, nextId: () => number, budget: CompileBudget): Expression {
  const { grammar, schemas } = argumentsOf(tool, nextId, budget);
  return sequence(
    text('{"name"'),
    colon,
    text(JSON.stringify(tool.name)),
    text(', "arguments"'),
    colon,
    use(grammar.rule(schemas)),
    text('}'),
  );
}

function xmlCall(tool: ToolSpec, nextId: () => number, budget: CompileBudget): Expression {
  const { grammar, schemas } = argumentsOf(tool, nextId, budget);
  const options = alternatives(schemas, grammar.document, budget);
  const lists = options.map((facts) => parameterList(facts, grammar));
  return sequence(text(`<function=${tagName(tool.name, 'tools')}>\n`), choice(...lists), text('</function>'));
}

/** A name that can stand in a tag. */
function tagName(name: string, path: string): string {
  if (!/^[^<>\s]+$/.test(name)) throw invalidSchema(path, `"${name}" cannot be the name of a tool or parameter`);
  return name;
}

function parameterList(facts: Facts, grammar: JsonGrammar): Expression {
  if (facts.impossible || facts.types?.has('object') === false) return never;
  if (facts.values !== null) throw unsupported('enum', facts.path, 'tool arguments are written one by one');
  if (facts.propertyNames.length > 0) throw unsupported('propertyNames', facts.path, 'in tool arguments');
  const names = memberNames(facts);
  const nRequired = names.filter((name) => facts.required.has(name)).length;
  if (facts.minProperties > nRequired) throw unsupported('minProperties', facts.path, 'more members than are required');
  const extra = additionalMembers(facts);
  if (facts.maxProperties !== null && (extra !== null || facts.maxProperties < names.length)) {
    throw unsupported('maxProperties', facts.path, 'fewer members than are listed');
  }
  const listed = names.map((name) => {
    const value = new Rule(() => parameterValue(memberSchemas(facts, name), grammar));
    const parameter = sequence(text(`<parameter=${tagName(name, facts.path)}>\n`), use(value));
    return facts.required.has(name) ? parameter : choice(parameter, empty);
  });
  if (extra === null) return sequence(...listed);
  return sequence(...listed, repeat(extraParameter(names, extra, grammar), 0, null));
}

/** A parameter the tool does not list, its name in letters, digits and underscores. */
function extraParameter(names: readonly string[], extra: readonly Subschema[], grammar: JsonGrammar): Expression {
  const shape = regexAutomaton('^\\w{1,64}$', '#', grammar.budget);
  const automaton = shape === null ? null : both(shape, textExcept(names), grammar.budget);
  if (automaton === null) return never;
  const name: Expression = { kind: 'text', automaton, encoding: 'raw', min: 0, max: null };
  const value = new Rule(() => parameterValue(extra, grammar));
  return sequence(text('<parameter='), name, text('>\n'), use(value));
}

/** The value, its own line break, and the closing line. */
function parameterValue(schemas: readonly Subschema[], grammar: JsonGrammar): Expression {
  const end = text(`${closingLine}\n`);
  const options = alternatives(schemas, grammar.document, grammar.budget).flatMap((facts) => rawValues(facts, grammar));
  const mayBeEmpty = options.some(({ emptyToo }) => emptyToo);
  const values = sequence(choice(...options.map(({ value }) => value)), end);
  return mayBeEmpty ? choice(values, text(`${closingLine.slice(1)}\n`)) : values;
}

interface RawValue {
  readonly value: Expression;
  /** Whether the text may be empty: then the closing line may follow at once. */
  readonly emptyToo: boolean;
}

function rawValues(facts: Facts, grammar: JsonGrammar): RawValue[] {
  if (facts.impossible) return [];
  if (facts.values !== null) return [{ value: listedValues(facts, grammar), emptyToo: false }];
  const types = possibleTypes(facts);
  if (types === null) return [{ value: use(freeText), emptyToo: true }];
  return types.map((type): RawValue => {
    if (type !== 'string') return { value: grammar.value({ ...facts, types: new Set([type]) }), emptyToo: false };
    const { minLength, maxLength, patterns, formats } = facts;
    const shaped = patterns.length + formats.length > 0;
    if (!shaped && minLength === 0 && maxLength === null) return { value: use(freeText), emptyToo: true };
    const value = limitedText(facts, 'raw', plainText, facts.path, grammar.budget);
    return { value, emptyToo: !shaped && minLength === 0 };
  });
}

/** Strings as they are, other values as JSON. */
function listedValues(facts: Facts, grammar: JsonGrammar): Expression {
  const values = (facts.values ?? []).filter((value) => listedValueSatisfies(value, facts, grammar.budget));
  const texts = values.filter((value) => typeof value === 'string');
  if (texts.some((value) => structural.some((tag) => `\n${value}`.includes(tag)))) {
    throw unsupported('enum', facts.path, 'a value holds a line that begins like a closing tag');
  }
  const others = oneOfLiterals(values.filter((value) => typeof value !== 'string'));
  return texts.length === 0 ? others : choice(oneOfTexts(texts), others);
}
