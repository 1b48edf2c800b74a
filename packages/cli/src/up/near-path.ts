import path from 'node:path';

/** As one writes it in this folder; the whole path when the file is elsewhere. */
export const nearPath = (file: string, cwd: string): string => {
  const near = path.relative(cwd, file);
  return near.startsWith('..') ? file : near;
};
