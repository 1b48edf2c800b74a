/** The members of a JSON object that is still being written: strict JSON without white space in, values out by key. */

export interface MemberPiece {
  readonly key: string;
  /** The next part of the value's JSON text. */
  readonly text: string;
  /** True when the value is complete. */
  readonly done: boolean;
}

export class JsonMembers {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #isKey = true;
  #key = '';
  #value = '';

  push(json: string): MemberPiece[] {
    const pieces: MemberPiece[] = [];
    for (const char of json) {
      if (this.#isBoundary(char)) this.#cross(char, pieces);
      else if (this.#isKey) this.#key += char;
      else this.#value += char;
      this.#track(char);
    }
    if (this.#value !== '') pieces.push(this.#piece(false));
    return pieces;
  }

  /** The object's own brackets, commas and colons, outside of all strings and inner values. */
  #isBoundary(char: string): boolean {
    if (this.#inString) return false;
    if (this.#depth === 0) return true;
    return this.#depth === 1 && (char === ',' || char === '}' || (char === ':' && this.#isKey));
  }

  #cross(char: string, pieces: MemberPiece[]): void {
    if (char === ':') {
      this.#isKey = false;
      return;
    }
    if (!this.#isKey) pieces.push(this.#piece(true));
    this.#isKey = true;
    this.#key = '';
  }

  #piece(done: boolean): MemberPiece {
    const text = this.#value;
    this.#value = '';
    return { key: JSON.parse(this.#key) as string, text, done };
  }

  #track(char: string): void {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (char === '\\') this.#escaped = true;
      else if (char === '"') this.#inString = false;
    } else if (char === '"') this.#inString = true;
    else if (char === '{' || char === '[') this.#depth += 1;
    else if (char === '}' || char === ']') this.#depth -= 1;
  }
}
