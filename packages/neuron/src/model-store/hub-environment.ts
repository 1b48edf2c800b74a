/** Which hub to ask, by the variables that the Hugging Face tools share. */
import type { HubOptions } from './hub-download.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const isOn = (text: string | undefined): boolean => /^(1|true|yes|on)$/i.test(text ?? '');

/** `HF_HUB_OFFLINE`: nothing may be asked of it. */
export const isHubOffline = (env: Environment): boolean => isOn(env['HF_HUB_OFFLINE']);

/** `HF_ENDPOINT` and `HF_TOKEN`. */
export const hubOptions = (env: Environment): HubOptions => {
  const token = env['HF_TOKEN']?.trim() ?? '';
  const endpoint = (env['HF_ENDPOINT'] ?? '').trim().replace(/\/+$/, '') || 'https://huggingface.co';
  return { endpoint, ...(token === '' ? {} : { token }) };
};
