/**
 * Runs a template within bounds. A template is a program that came with a checkpoint: it may loop for ever, double a
 * string forty times or recurse, and must then end as an error and not take the daemon with it.
 */
import { Environment, Interpreter, type TemplateNode, type TemplateValue } from './template-library.ts';
import { pythonCalls, type TemplateProgram } from './template-program.ts';
import { pythonEquals, pythonStrip, pythonText, strftime } from './template-python.ts';

/** The template itself refused its input, by `raise_exception`. */
export class TemplateRefusal extends Error {
  override readonly name = 'TemplateRefusal';
}

export interface TemplateLimits {
  /** Nodes evaluated. */
  readonly stepsMax: number;
  /** Nodes within nodes. Left to itself the library takes a full stack for an undefined variable. */
  readonly depthMax: number;
  /** UTF-16 units of any string made on the way. */
  readonly charsMax: number;
}

/** Far above any real conversation: a turn costs about a hundred steps. */
export const defaultTemplateLimits: TemplateLimits = { stepsMax: 2_000_000, depthMax: 500, charsMax: 16 * 2 ** 20 };

/** What Jinja's sandbox allows. */
const rangeMax = 100_000;

/** The library makes a scope for every item of a loop before the first turn. */
const stepsPerItem = 10;

/** What a run has used of its limits. */
class Spending {
  readonly limits: TemplateLimits;
  depth = 0;
  #nSteps = 0;

  constructor(limits: TemplateLimits) {
    this.limits = limits;
  }

  addSteps(n: number): void {
    this.#nSteps += n;
    const { stepsMax } = this.limits;
    if (this.#nSteps > stepsMax) throw new Error(`it takes more than ${stepsMax} steps`);
  }
}

class BoundedInterpreter extends Interpreter {
  readonly #spending: Spending;

  constructor(environment: Environment, spending: Spending) {
    super(environment);
    this.#spending = spending;
  }

  override evaluate(node: TemplateNode | undefined, environment: Environment): TemplateValue {
    const spending = this.#spending;
    const { depthMax, charsMax } = spending.limits;
    spending.addSteps(1);
    spending.depth += 1;
    if (spending.depth > depthMax) throw new Error(`it nests deeper than ${depthMax}`);
    try {
      const result = super.evaluate(node, environment);
      if (typeof result.value === 'string' && result.value.length > charsMax) {
        throw new Error(`it makes a text of more than ${charsMax} characters`);
      }
      return result;
    } finally {
      spending.depth -= 1;
    }
  }
}

const rangeWithin =
  (spending: Spending) =>
  (first: number, second?: number | null, step = 1): number[] => {
    const [start, stop] = typeof second === 'number' ? [first, second] : [0, first];
    const length = Math.max(0, Math.ceil((stop - start) / step));
    if (!(length <= rangeMax)) throw new Error(`range() is longer than ${rangeMax}`);
    spending.addSteps(length * stepsPerItem);
    return Array.from({ length }, (_, i) => start + i * step);
  };

const asText = (value: unknown, call: string): string => {
  if (typeof value !== 'string') throw new TypeError(`${call} wants text`);
  return value;
};

const nothing: TemplateValue = { type: 'UndefinedValue', value: undefined };

type LibraryFunction = (args: readonly TemplateValue[]) => TemplateValue;

const toLibrary = (value: string | boolean): TemplateValue => new Environment().set('value', value);

/** Declares a function that sees the library's own values; one declared by `set` alone would get them unwrapped. */
const declare = (environment: Environment, name: string, call: LibraryFunction): void => {
  const declared: { value: unknown } = environment.set(name, () => null);
  declared.value = call;
};

const declarePython = (environment: Environment): void => {
  for (const side of ['strip', 'lstrip', 'rstrip'] as const) {
    environment.set(pythonCalls[side], (text: unknown, chars?: unknown) =>
      pythonStrip(asText(text, side), side, typeof chars === 'string' ? chars : null),
    );
  }
  declare(environment, pythonCalls.text, ([value = nothing]) =>
    value.type === 'StringValue' ? value : toLibrary(pythonText(value)),
  );
  declare(environment, pythonCalls.equals, ([a = nothing, b = nothing]) => toLibrary(pythonEquals(a, b)));
  declare(environment, pythonCalls.differs, ([a = nothing, b = nothing]) => toLibrary(!pythonEquals(a, b)));
};

const constants = { true: true, false: false, none: null, True: true, False: false, None: null } as const;

/** Names every template finds; variables of the same name would hide them. */
export const templateBuiltins: ReadonlySet<string> = new Set([
  ...Object.keys(constants),
  'namespace',
  'range',
  'raise_exception',
  'strftime_now',
]);

export interface TemplateRun {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly limits: TemplateLimits;
  readonly now: () => Date;
}

const createEnvironment = ({ variables, now }: TemplateRun, spending: Spending): Environment => {
  const environment = new Environment();
  for (const [name, value] of Object.entries(constants)) environment.set(name, value);
  environment.set('range', rangeWithin(spending));
  environment.set('raise_exception', (message: unknown) => {
    throw new TemplateRefusal(typeof message === 'string' ? message : 'no reason given');
  });
  environment.set('strftime_now', (format: unknown) => strftime(now(), asText(format, 'strftime_now')));
  declarePython(environment);
  for (const [name, value] of Object.entries(variables)) environment.set(name, value);
  return environment;
};

/** @throws TemplateRefusal where the template raises, Error for anything else that stops it. */
export const runTemplate = ({ program }: TemplateProgram, run: TemplateRun): string => {
  const spending = new Spending(run.limits);
  const interpreter = new BoundedInterpreter(createEnvironment(run, spending), spending);
  return asText(interpreter.run(program).value, 'the template');
};
