/** A model from the hub onto this host's disk, for an operator who asks for it by name. */
import { CortexError } from '@cortex/core';
import { supportedModelTypes } from '../arch/registry.ts';
import { hubCacheDir } from '../model-store/hub-cache.ts';
import { downloadModel, type DownloadOptions } from '../model-store/hub-download.ts';
import { hubOptions, isHubOffline } from '../model-store/hub-environment.ts';
import { isHubId } from '../model-store/model-id.ts';
import { factsOf } from './checkpoint-facts.ts';
import { refusedModel } from './model-catalogue.ts';

export interface PullRequest {
  /** `ORG/NAME` as on the hub. */
  readonly id: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  /** Also what no architecture here can run. */
  readonly anyArchitecture: boolean;
}

/**
 * Goes on where an earlier pull stopped; what is on disk already is only checked.
 * @returns the folder @throws CortexError as `downloadModel`, and `model_load_failed` before the weights for what can't be run.
 */
export const pullModel = async (
  { id, env, homeDir, anyArchitecture }: PullRequest,
  options: Pick<DownloadOptions, 'signal' | 'onProgress'>,
): Promise<string> => {
  if (!isHubId(id)) throw new CortexError('invalid_request', `${id} is not a name of the hub: expected ORG/NAME`);
  if (isHubOffline(env)) throw new CortexError('upstream_error', 'HF_HUB_OFFLINE is set: nothing is downloaded');
  const vetConfig = (config: unknown): void => {
    const { refusal } = factsOf(config, null, supportedModelTypes);
    if (refusal !== null && !anyArchitecture) throw refusedModel(id, refusal);
  };
  return downloadModel(id, hubCacheDir(env, homeDir), hubOptions(env), { ...options, vetConfig });
};
