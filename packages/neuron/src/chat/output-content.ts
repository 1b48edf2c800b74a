/**
 * The text of an answer's content on its last way out: stop strings end it, and where tools are in play the white
 * space between text and calls, which belongs to the template, is dropped.
 */
import { StopMatcher } from './stop-matcher.ts';

const CLOSE_THINK = '</think>';

export interface ContentOptions {
  readonly stop: readonly string[];
  /** Calls may come between the text. */
  readonly hasTools: boolean;
}

export class ContentText {
  readonly #hasTools: boolean;
  readonly #stops: StopMatcher;
  /** Finds the closing tag of a think block that a call has ended. */
  #strayClose: StopMatcher | null = null;
  /** White space at the end of the text so far: a call may follow it. */
  #blank = '';
  /** A call, and since then nothing but white space. */
  #isBehindCall = false;
  #matched: string | null = null;

  constructor(options: ContentOptions) {
    this.#hasTools = options.hasTools;
    this.#stops = new StopMatcher(options.stop);
  }

  /** The stop string that ended the content. */
  get matchedStop(): string | null {
    return this.#matched;
  }

  /** From here on one `</think>` is no text: its block has been ended otherwise. */
  expectStrayClose(): void {
    this.#strayClose ??= new StopMatcher([CLOSE_THINK]);
  }

  /** The text to give out now; nothing more once a stop string has matched. */
  push(text: string): string {
    if (this.#strayClose === null) return this.#pushToStops(text);
    const { text: before, stop } = this.#strayClose.push(text);
    if (stop === undefined) return this.#pushToStops(before);
    this.#strayClose = new StopMatcher([]);
    return this.#pushToStops(before) + this.#pushToStops(stop.rest);
  }

  /** A call begins: the text before it, less the white space that only sets it apart. */
  beforeCall(): string {
    const text = this.#flushMatchers();
    this.#blank = '';
    this.#isBehindCall = true;
    return text;
  }

  /** The rest, when no more will come. */
  end(): string {
    const text = this.#flushMatchers();
    const blank = this.#isBehindCall ? '' : this.#blank;
    this.#blank = '';
    return text + blank;
  }

  #flushMatchers(): string {
    const text = this.#pushToStops(this.#strayClose?.flush() ?? '');
    return this.#matched === null ? text + this.#holdBlank(this.#stops.flush()) : text;
  }

  #pushToStops(text: string): string {
    if (this.#matched !== null) return '';
    const step = this.#stops.push(text);
    this.#matched = step.stop?.matched ?? null;
    return this.#holdBlank(step.text);
  }

  #holdBlank(text: string): string {
    if (!this.#hasTools) return text;
    const end = text.trimEnd().length;
    if (end === 0) {
      this.#blank += text;
      return '';
    }
    const released = this.#blank + text.slice(0, end);
    this.#isBehindCall = false;
    this.#blank = text.slice(end);
    return released;
  }
}
