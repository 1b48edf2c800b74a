/** One line of the report: what was compared, what came out, and whether it is within the tolerances. */

export interface Verdict {
  /** `model/case` or the file that was replayed. */
  readonly name: string;
  readonly ok: boolean;
  /** What was found, in order; failures begin with `FAIL`. */
  readonly notes: readonly string[];
}

/** Tolerances of `fixtures/README.md`. */
export const tolerances = {
  f32: { textLogits: 5e-4, imageLogits: 2e-2, embeds: 5e-3, embedsCosine: 0.99999, logitsCosine: 0.999 },
  /** Half precision weights are held to the direction only. */
  half: { textLogits: Infinity, imageLogits: Infinity, embeds: Infinity, embedsCosine: 0.999, logitsCosine: 0.999 },
} as const;

/** Collects a case's findings. */
export class Findings {
  readonly #name: string;
  readonly #notes: string[] = [];
  #ok = true;

  constructor(name: string) {
    this.#name = name;
  }

  check(ok: boolean, note: string): void {
    this.#notes.push(ok ? note : `FAIL ${note}`);
    if (!ok) this.#ok = false;
  }

  get verdict(): Verdict {
    return { name: this.#name, ok: this.#ok, notes: this.#notes };
  }
}

export const verdictLine = ({ name, ok, notes }: Verdict): string =>
  `${ok ? 'ok  ' : 'FAIL'} ${name.padEnd(40)} ${notes.join(' · ')}`;
