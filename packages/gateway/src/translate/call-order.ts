/**
 * Chat may write several calls at a time, a piece of each in turn; the other protocols tell one after the other. A call
 * goes out as it comes; what is written beside it waits until its arguments are whole. Invariant: every piece comes out
 * once, and those of one call in their order, without others in between.
 */
import type { AnswerPiece } from './chat-answer.ts';

type CallPiece = Extract<AnswerPiece, { kind: 'call' }>;

const isWhole = (json: string): boolean => {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
};

export class CallOrder {
  /** The call that is being told. */
  #open: { readonly index: number; arguments: string } | null = null;
  #held: AnswerPiece[] = [];

  /** @returns what may be told now */
  take(pieces: readonly AnswerPiece[]): readonly AnswerPiece[] {
    // Plain text is nearly all there ever is.
    if (this.#open === null && pieces.every(({ kind }) => kind !== 'call')) return pieces;
    return pieces.flatMap((piece) => this.#take(piece));
  }

  /** The answer is over: all that was held, call by call. */
  end(): readonly AnswerPiece[] {
    const groups = new Map<string, AnswerPiece[]>();
    for (const [i, piece] of this.#held.entries()) {
      const key = piece.kind === 'call' ? `call ${piece.index}` : `${i}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [piece]);
      else group.push(piece);
    }
    this.#held = [];
    this.#open = null;
    return [...groups.values()].flat();
  }

  #take(piece: AnswerPiece): readonly AnswerPiece[] {
    if (piece.kind === 'call' && piece.index === this.#open?.index) return this.#continue(this.#open, piece);
    if (this.#held.length > 0 || (this.#open !== null && !isWhole(this.#open.arguments))) {
      this.#held.push(piece);
      return [];
    }
    this.#open = piece.kind === 'call' ? { index: piece.index, arguments: piece.arguments } : null;
    return [piece];
  }

  #continue(open: { arguments: string }, piece: CallPiece): readonly AnswerPiece[] {
    open.arguments += piece.arguments;
    if (this.#held.length === 0 || !isWhole(open.arguments)) return [piece];
    const held = this.#held;
    this.#held = [];
    return [piece, ...held.flatMap((one) => this.#take(one))];
  }
}
