/**
 * What a model family's way of writing tool calls must provide: where a call opens, and a reader for what is inside.
 * `ToolCallParser` does the rest, alike for all formats.
 */
import type { Lookahead } from './output-lookahead.ts';

/** The JSON schema of a tool's `parameters`. */
export type ParametersSchema = Readonly<Record<string, unknown>>;

/** The request's tools: name → parameters. */
export type ToolSchemas = ReadonlyMap<string, ParametersSchema>;

/** Why the text ended: the model stopped, or it was cut at the token limit. */
export type TextEnd = 'eos' | 'length';

export type BodyEvent =
  | { readonly kind: 'name'; readonly name: string }
  /** Pieces of one JSON text; only after the name. */
  | { readonly kind: 'arguments'; readonly text: string }
  | { readonly kind: 'complete' };

export interface BodyStep {
  readonly events: readonly BodyEvent[];
  /** Text behind the body; null while the body goes on. */
  readonly rest: string | null;
  /** The body is no call: the text that it consumed, to be given back. Never after a `name`. */
  readonly refused?: string;
}

/** The last step always ends the body. */
export type BodyEnd = BodyStep & { readonly rest: string };

export interface ToolCallBody {
  /** The first push, of the empty string, gives what the opening alone tells. */
  push(text: string): BodyStep;
  /**
   * The text is over. At `eos` a begun call is repaired and completed. At `length` it is left as it is, so that nobody
   * takes half of its arguments for the whole.
   */
  end(cause: TextEnd): BodyEnd;
}

/** Where a text may hold a call's opening. */
export interface OpeningPlace {
  /** Only white space stands before it on its line, within the content. */
  readonly lineStart: boolean;
  /** Directly behind a call within one block, where no new opening tag is needed. */
  readonly insideBlock: boolean;
}

export interface ToolCallFormat {
  /** A call's opening with its tag `<tool_call>`: this also ends reasoning. */
  matchTagged(text: string, at: number): Lookahead;
  /** Any opening at `at`, where a `<` or `{` stands; on a match, the call's body reads on from `end`. */
  matchOpening(text: string, at: number, place: OpeningPlace): Lookahead;
  /** A reader for one call. `captured` is the match's, `opening` the text it covered. */
  newBody(captured: readonly string[], opening: string): ToolCallBody;
}

export const CALL_OPEN = '<tool_call>';
export const CALL_CLOSE = '</tool_call>';
