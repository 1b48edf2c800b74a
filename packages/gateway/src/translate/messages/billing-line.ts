/**
 * The line that Claude Code puts in front of its system prompt for Anthropic's accounts, such as
 * `x-anthropic-billing-header: cc_version=…; cc_entrypoint=…;`. It differs from request to request, and as the first
 * tokens of the prompt it would keep a node from reusing any of the 20,000 that follow. It is moved out of the prompt
 * into the forwarded request's `metadata`, which no template reads. Every other character stays as it is.
 */
import type { SystemContent } from '@cortex/core';

const line = /^x-anthropic-billing-header:[^\n]{0,1024}(?:\n|$)/;

/** The key it is kept under in `metadata`: the name it gives itself. */
export const billingKey = 'x-anthropic-billing-header';

export interface WithoutBilling {
  readonly system: SystemContent | null;
  /** What followed the name; null: there was no such line. */
  readonly billing: string | null;
}

const cut = (text: string): { readonly rest: string; readonly billing: string } | null => {
  const found = line.exec(text)?.[0];
  if (found === undefined) return null;
  return { rest: text.slice(found.length), billing: found.slice(billingKey.length + 1).trim() };
};

export const takeBillingLine = (system: SystemContent | null | undefined): WithoutBilling => {
  if (typeof system === 'string') {
    const parted = cut(system);
    return parted === null ? { system, billing: null } : { system: parted.rest, billing: parted.billing };
  }
  const [first, ...others] = system ?? [];
  const parted = first?.type === 'text' ? cut(first.text) : null;
  if (parted === null) return { system: system ?? null, billing: null };
  const rest = parted.rest === '' ? [] : [{ type: 'text' as const, text: parted.rest }];
  return { system: [...rest, ...others], billing: parted.billing };
};
