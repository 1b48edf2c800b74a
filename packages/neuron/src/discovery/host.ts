/** The machine's names: host, operating system, kernel. */
import { readFile } from 'node:fs/promises';
import { hostname, release, type } from 'node:os';

export interface HostInfo {
  readonly hostname: string;
  readonly os: string;
  readonly kernel: string;
}

/** `PRETTY_NAME` of an os-release file, such as `Debian GNU/Linux 13 (trixie)`; null if there is none. */
export const prettyName = (osRelease: string): string | null => {
  const value = /^PRETTY_NAME=(?:"([^"]*)"|'([^']*)'|(\S*))\s*$/m.exec(osRelease);
  const name = value?.[1] ?? value?.[2] ?? value?.[3] ?? '';
  return name === '' ? null : name;
};

export const readHost = async (osReleaseFile = '/etc/os-release'): Promise<HostInfo> => {
  const text = await readFile(osReleaseFile, 'utf8').catch(() => '');
  return { hostname: hostname(), os: prettyName(text) ?? type(), kernel: release() };
};
