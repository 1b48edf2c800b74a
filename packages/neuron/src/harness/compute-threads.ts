/**
 * How many threads compute on the CPU by default. After each operation of a graph every thread waits for the slowest:
 * a second one on the same core gains little in products that fill the core's units, and one that the system has put
 * aside, because another shares its core or the group's quota is used up, holds up all.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';

export interface CpuTopology {
  /** One entry for each CPU that this process may run on: a name of the physical core that it is part of. */
  readonly cores: readonly string[];
  /** CPUs' worth of time that the process's groups are given; null for no limit. */
  readonly quota: number | null;
}

/** One thread a physical core, but no more than whole CPUs of quota. */
export const computeThreads = ({ cores, quota }: CpuTopology): number =>
  Math.max(1, Math.min(new Set(cores).size, quota === null ? Infinity : Math.floor(quota)));

/** `0-2,8` → 0, 1, 2, 8 */
export const parseCpuList = (text: string): readonly number[] =>
  text.split(',').flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (range === null) return [];
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  });

/** Null for a file that is not there. */
type Read = (file: string) => string | null;

const readText: Read = (file) => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
};

const ratio = (quota: string | undefined, period: string | undefined): number | null => {
  const value = Number(quota) / Number(period);
  return Number.isFinite(value) && value > 0 ? value : null;
};

/** The process's group and all that it is in, of a hierarchy mounted at `mount`; within a container the mount is the group. */
const groupDirs = (mount: string, group: string): readonly string[] => {
  const names = group.split('/').filter((name) => name !== '');
  return names.map((_, i) => path.posix.join(mount, ...names.slice(0, i + 1))).concat(mount);
};

const quotasOf = (read: Read): readonly number[] =>
  (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers = '', group = ''] = line.split(':');
    if (controllers === '') {
      return groupDirs('/sys/fs/cgroup', group).flatMap((dir) => {
        const [quota, period] = (read(`${dir}/cpu.max`) ?? '').split(' ');
        return ratio(quota, period) ?? [];
      });
    }
    if (!controllers.split(',').includes('cpu')) return [];
    return groupDirs(`/sys/fs/cgroup/${controllers}`, group).flatMap(
      (dir) => ratio(read(`${dir}/cpu.cfs_quota_us`) ?? undefined, read(`${dir}/cpu.cfs_period_us`) ?? undefined) ?? [],
    );
  });

/** As Linux tells it; null elsewhere. */
export const readTopology = (read: Read = readText): CpuTopology | null => {
  const allowed = /^Cpus_allowed_list:\s*(.+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  if (allowed === undefined) return null;
  const cores = parseCpuList(allowed).map((cpu) => {
    const dir = `/sys/devices/system/cpu/cpu${cpu}/topology`;
    const [socket, core] = [read(`${dir}/physical_package_id`), read(`${dir}/core_id`)];
    // What a virtual machine does not tell is taken for a core of its own.
    return socket === null || core === null ? `cpu ${cpu}` : `${socket}:${core}`;
  });
  const quotas = quotasOf(read);
  return { cores, quota: quotas.length === 0 ? null : Math.min(...quotas) };
};

export const defaultThreads = (): number => {
  const topology = readTopology();
  return topology === null ? availableParallelism() : computeThreads(topology);
};
