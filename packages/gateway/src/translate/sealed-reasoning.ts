/**
 * Reasoning in the opaque members that clients keep and send back unread: Anthropic's `signature`, the Responses
 * protocol's `encrypted_content`. It is neither secret nor signed: it is the client's own text, kept from view.
 */

const prefix = 'cortex1.';

export const sealReasoning = (text: string): string => prefix + Buffer.from(text, 'utf8').toString('base64url');

/** The reasoning in it; empty for what is not ours. */
export const openReasoning = (sealed: string | null | undefined): string =>
  sealed?.startsWith(prefix) === true ? Buffer.from(sealed.slice(prefix.length), 'base64url').toString('utf8') : '';
