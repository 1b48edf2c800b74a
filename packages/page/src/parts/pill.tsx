/** A state in a word, with a colour that says the same. */
import type { ComponentChildren } from 'preact';

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'calm';

interface PillProps {
  readonly tone: Tone;
  readonly title?: string | undefined;
  readonly children: ComponentChildren;
}

export const Pill = ({ tone, title, children }: PillProps) => (
  <span class={`pill ${tone}`} title={title}>
    {children}
  </span>
);
