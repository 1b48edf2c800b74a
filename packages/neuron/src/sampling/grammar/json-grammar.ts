/**
 * JSON Schema as a grammar for JSON text. What it generates is always valid under the schema; it generates less than
 * everything valid: members come in the order of `properties`, an object that lists members (or an array that lists
 * items) has no others unless the schema says so, and `oneOf` is taken as `anyOf`.
 */
import { unsupported, type CompileBudget } from './compile-error.ts';
import { exhausted } from './exhausted.ts';
import { choice, never, repeat, Rule, sequence, text, use, type Expression } from './expression.ts';
import { anyNumber, anyString, anyValue, closed, colon, comma, oneOfLiterals, space } from './json-syntax.ts';
import { boundedInteger, boundedNumber } from './number-grammar.ts';
import type { SchemaDocument, Subschema } from './schema-document.ts';
import { alternatives, gatherFacts, type Facts, type JsonType } from './schema-facts.ts';
import {
  additionalMembers,
  itemSchemas,
  listedValueSatisfies,
  memberNames,
  memberSchemas,
  possibleTypes,
  prefixLength,
  restSchemas,
  textSatisfies,
} from './schema-views.ts';
import { jsonString } from './string-grammar.ts';
import { textExcept } from './text-automaton.ts';

interface Member {
  readonly name: string;
  readonly value: Expression;
  readonly required: boolean;
}

export class JsonGrammar {
  readonly document: SchemaDocument;
  readonly budget: CompileBudget;
  readonly #rules = new Map<string, Rule>();

  constructor(document: SchemaDocument, budget: CompileBudget) {
    this.document = document;
    this.budget = budget;
  }

  /** A value that satisfies every one of these; of none: any value. One rule for each set, so that recursion ends. */
  rule(conjunction: readonly Subschema[]): Rule {
    const key = [...new Set(conjunction.map(({ id }) => id))].join();
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    this.budget.spend(1);
    const rule = new Rule(() => this.#conjunction(conjunction));
    this.#rules.set(key, rule);
    return rule;
  }

  /** One alternative: its choices are made. */
  value(facts: Facts): Expression {
    if (facts.impossible) return never;
    if (facts.values !== null) {
      return oneOfLiterals(facts.values.filter((value) => listedValueSatisfies(value, facts, this.budget)));
    }
    const types = possibleTypes(facts);
    return types === null ? use(anyValue) : choice(...types.map((type) => this.#typed(type, facts)));
  }

  #conjunction(conjunction: readonly Subschema[]): Expression {
    const facts = gatherFacts(conjunction, this.document, this.budget);
    const [options] = facts.choices;
    if (options === undefined) return this.value(facts);
    if (!facts.constrained && facts.choices.length === 1) {
      return choice(...options.map((option) => use(this.rule([option]))));
    }
    return choice(...alternatives(conjunction, this.document, this.budget).map((option) => this.value(option)));
  }

  #typed(type: JsonType, facts: Facts): Expression {
    switch (type) {
      case 'null':
        return text('null');
      case 'boolean':
        return choice(text('true'), text('false'));
      case 'integer':
      case 'number':
      case 'string':
        return use(this.#leaf(type, facts));
      case 'array':
        return this.#array(facts);
      case 'object':
        return this.#object(facts);
      default:
        return exhausted(type);
    }
  }

  /** Numbers and strings under equal limits are one rule, wherever they stand. */
  #leaf(type: 'integer' | 'number' | 'string', facts: Facts): Rule {
    const { minimum, maximum, minLength, maxLength, patterns, formats, path } = facts;
    const isText = type === 'string';
    const free = isText
      ? patterns.length + formats.length + minLength === 0 && maxLength === null
      : maximum === minimum;
    if (free && isText) return anyString;
    if (free && type === 'number') return anyNumber;
    const limits = isText ? [minLength, maxLength, patterns, formats] : [minimum, maximum];
    const key = `${type} ${JSON.stringify(limits)}`;
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const rule = new Rule(() => {
      if (isText) return jsonString(facts, path, this.budget);
      return type === 'integer' ? boundedInteger(minimum, maximum) : boundedNumber(minimum, maximum, path);
    });
    this.#rules.set(key, rule);
    return rule;
  }

  #array(facts: Facts): Expression {
    const { minItems, maxItems } = facts;
    const nPrefix = prefixLength(facts);
    const rest = restSchemas(facts);
    const nMax = rest === null ? Math.min(nPrefix, maxItems ?? nPrefix) : maxItems;
    if (nMax !== null && nMax < minItems) return never;

    const item = (index: number): Expression => use(this.rule(itemSchemas(facts, index)));
    // What follows once `index` items stand.
    let following = this.#restOfArray(nPrefix, minItems, nMax, item(nPrefix));
    for (let index = nPrefix - 1; index >= 0; index--) {
      const next = new Rule(constant(following));
      const more = sequence(index === 0 ? space : comma, item(index), use(next));
      const options = index >= minItems ? [index === 0 ? text(']') : closed(']')] : [];
      if (nMax === null || index < nMax) options.push(more);
      following = choice(...options);
    }
    return sequence(text('['), following);
  }

  #restOfArray(nBefore: number, min: number, max: number | null, item: Expression): Expression {
    const nMore = (n: number): Expression =>
      repeat(sequence(comma, item), Math.max(0, min - n), max === null ? null : Math.max(0, max - n));
    if (nBefore > 0) return sequence(nMore(nBefore), closed(']'));
    const options = min === 0 ? [text(']')] : [];
    if (max !== 0) options.push(sequence(space, item, nMore(1), closed(']')));
    return choice(...options);
  }

  #object(facts: Facts): Expression {
    const extra = additionalMembers(facts);
    const members = memberNames(facts).map((name): Member => {
      const allowed = facts.propertyNames.length === 0 || this.#isMemberName(name, facts);
      const value = allowed ? use(this.rule(memberSchemas(facts, name))) : never;
      return { name, value, required: facts.required.has(name) };
    });
    if (members.length === 0) return this.#map(facts, extra);
    this.#checkCounts(facts, members, extra !== null);
    return sequence(text('{'), use(this.#members(facts, members, extra)));
  }

  /** Members in order, optional ones perhaps left out: two rules for each, with and without a comma to write. */
  #members(facts: Facts, members: readonly Member[], extra: readonly Subschema[] | null): Rule {
    const end = this.#endOfObject(facts, members, extra);
    let first = end(true);
    let later = end(false);
    for (const { name, value, required } of members.toReversed()) {
      this.budget.spend(2);
      const [afterFirst, afterLater] = [first, later];
      const member = sequence(text(JSON.stringify(name)), colon, value, use(afterLater));
      const withOr = (separator: Expression, without: Rule): Rule => {
        const taken = sequence(separator, member);
        return new Rule(constant(required ? taken : choice(taken, use(without))));
      };
      first = withOr(space, afterFirst);
      later = withOr(comma, afterLater);
    }
    return first;
  }

  #endOfObject(facts: Facts, members: readonly Member[], extra: readonly Subschema[] | null): (first: boolean) => Rule {
    if (extra === null) return (first) => new Rule(constant(close(first)));
    if (facts.propertyNames.some((names) => !this.#isAnyName(names))) {
      throw unsupported('propertyNames', facts.path, 'beside properties and additionalProperties');
    }
    const automaton = textExcept(members.map(({ name }) => name));
    const name: Expression = { kind: 'text', automaton, encoding: 'json', min: 0, max: null };
    const key = new Rule(constant(sequence(text('"'), name, text('"'))));
    const member = sequence(use(key), colon, use(this.rule(extra)));
    const later: Rule = new Rule(() => choice(close(false), sequence(comma, member, use(later))));
    const first = new Rule(() => choice(close(true), sequence(space, member, use(later))));
    return (isFirst) => (isFirst ? first : later);
  }

  /** An object without listed members. */
  #map(facts: Facts, extra: readonly Subschema[] | null): Expression {
    const { minProperties: min, maxProperties: max } = facts;
    if (min > 1) throw unsupported('minProperties', facts.path, 'names may repeat, so members cannot be counted');
    if (extra === null || max === 0) return min > 0 ? never : text('{}');
    const key = facts.propertyNames.length === 0 ? use(anyString) : this.#memberName(facts);
    const member = sequence(key, colon, use(this.rule(extra)));
    const members = sequence(space, member, repeat(sequence(comma, member), 0, max === null ? null : max - 1));
    return sequence(text('{'), choice(min > 0 ? never : text('}'), sequence(members, closed('}'))));
  }

  #memberName(facts: Facts): Expression {
    const options = alternatives(facts.propertyNames, this.document, this.budget);
    const names = options.map((option) => this.value({ ...option, types: new Set<JsonType>(['string']) }));
    return choice(...names);
  }

  #isMemberName(name: string, facts: Facts): boolean {
    return alternatives(facts.propertyNames, this.document, this.budget).some(
      (option) =>
        !option.impossible &&
        (option.values?.includes(name) ?? true) &&
        (option.types?.has('string') ?? true) &&
        textSatisfies(name, option, this.budget),
    );
  }

  #isAnyName({ schema }: Subschema): boolean {
    return schema === true || (typeof schema === 'object' && Object.keys(schema).every((key) => key === 'type'));
  }

  #checkCounts(facts: Facts, members: readonly Member[], open: boolean): void {
    const nRequired = members.filter(({ required }) => required).length;
    if (facts.minProperties > nRequired) {
      throw unsupported('minProperties', facts.path, 'more members than are required');
    }
    if (facts.maxProperties !== null && (open || facts.maxProperties < members.length)) {
      throw unsupported('maxProperties', facts.path, 'fewer members than are listed');
    }
  }
}

/** An object without a member closes at once. */
const close = (first: boolean): Expression => (first ? text('}') : closed('}'));

const constant =
  (expression: Expression): (() => Expression) =>
  () =>
    expression;
