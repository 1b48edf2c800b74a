/** Remembers what was found in a folder until the folder or its small files change. A GGUF file is looked at anew. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { isGguf } from '../model-files/gguf-file.ts';
import { configFile, inspectFolder, weightIndexFile, type CheckpointFolder } from './checkpoint-folder.ts';
import { inspectGguf } from './gguf-models.ts';

const stampOf = async (dir: string): Promise<string> => {
  const files = [dir, path.join(dir, configFile), path.join(dir, weightIndexFile)];
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        (info) => `${info.mtimeMs}`,
        () => '-',
      ),
    ),
  );
  return times.join(' ');
};

export class FolderCache {
  readonly #known = new Map<string, { readonly stamp: string; readonly folder: CheckpointFolder }>();

  async inspect(dir: string): Promise<CheckpointFolder> {
    if (isGguf(dir)) return inspectGguf(dir);
    const stamp = await stampOf(dir);
    const known = this.#known.get(dir);
    if (known?.stamp === stamp) return known.folder;
    const folder = await inspectFolder(dir);
    // A dangling link can come alive without any of these times changing.
    if (folder.kind === 'complete') this.#known.set(dir, { stamp, folder });
    else this.#known.delete(dir);
    return folder;
  }
}
