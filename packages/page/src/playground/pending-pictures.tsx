/** The pictures of the question that is being written, and why some were not taken. */
import { useState } from 'preact/hooks';
import { models } from '../state/store.ts';
import type { Picture } from './conversation.ts';
import { picturesMax, readPicture } from './picture.ts';
import { whyBlind } from './sight.ts';

interface PicturesProps {
  readonly pictures: readonly Picture[];
  readonly onRemove: (picture: Picture) => void;
}

export const PendingPictures = ({ pictures, onRemove }: PicturesProps) => (
  <ul class="thumbs" aria-label="Pictures to send">
    {pictures.map((picture) => (
      <li key={picture.url}>
        <img src={picture.url} alt={picture.name} />
        <button type="button" class="bare" aria-label={`Remove ${picture.name}`} onClick={() => onRemove(picture)}>
          ×
        </button>
        {picture.note === null ? null : <span class="sub">{picture.note}</span>}
      </li>
    ))}
  </ul>
);

export const filesOf = (transfer: DataTransfer | null): readonly File[] => [...(transfer?.files ?? [])];

/** The pictures of the question that is being written, and why some were not taken. */
export const usePendingPictures = (model: string) => {
  const [pictures, setPictures] = useState<readonly Picture[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const blind = whyBlind(models.value, model);
  const add = async (files: readonly File[]): Promise<void> => {
    if (files.length === 0) return;
    setProblem(null);
    if (blind !== null) return setProblem(blind);
    const read = await Promise.allSettled(files.map(readPicture));
    const news = read.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = read.find((one) => one.status === 'rejected');
    if (failed !== undefined) setProblem(failed.reason instanceof Error ? failed.reason.message : 'not a picture');
    setPictures((known) => {
      if (known.length + news.length > picturesMax) setProblem(`A question may have ${picturesMax} pictures.`);
      return [...known, ...news].slice(0, picturesMax);
    });
  };
  const clear = (): void => {
    setPictures([]);
    setProblem(null);
  };
  const remove = (picture: Picture): void => setPictures((known) => known.filter((one) => one !== picture));
  // The model may have been changed to one that can't see.
  const refusal = problem ?? (pictures.length > 0 ? blind : null);
  return { pictures, refusal, blind, add, remove, clear, setProblem };
};
