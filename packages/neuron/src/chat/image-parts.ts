/** The images of a request, in the order in which its prompt mentions them. */
import type { ChatMessage } from '@cortex/core';

interface WithMessages {
  readonly messages?: readonly ChatMessage[] | null | undefined;
}

/** URLs (data URIs among them) of all images, message by message, part by part, tool results included. */
export const extractImagesFromRequest = ({ messages }: WithMessages): string[] =>
  (messages ?? []).flatMap(({ content }) =>
    Array.isArray(content) ? content.flatMap((part) => (part.type === 'image_url' ? part.image_url.url : [])) : [],
  );

export const requestHasImages = ({ messages }: WithMessages): boolean =>
  (messages ?? []).some(({ content }) => Array.isArray(content) && content.some((part) => part.type === 'image_url'));
