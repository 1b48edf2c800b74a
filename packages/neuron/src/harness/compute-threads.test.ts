import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { computeThreads, defaultThreads, parseCpuList, readTopology } from './compute-threads.ts';

const files =
  (contents: Readonly<Record<string, string>>) =>
  (file: string): string | null =>
    contents[file] ?? null;

const cpu = (n: number, socket: number, core: number): Readonly<Record<string, string>> => ({
  [`/sys/devices/system/cpu/cpu${n}/topology/physical_package_id`]: String(socket),
  [`/sys/devices/system/cpu/cpu${n}/topology/core_id`]: String(core),
});

const status = (list: string): Readonly<Record<string, string>> => ({
  '/proc/self/status': `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed_list:\t0`,
});

/** Where the group of the older hierarchy has this quota. */
const oldQuota = (quota: string) =>
  readTopology(
    files({
      ...status('0-7'),
      '/proc/self/cgroup': '9:memory:/x\n4:cpu,cpuacct:/docker/a\n0::/',
      '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': quota,
      '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
    }),
  )?.quota;

describe('threads that compute', () => {
  it('are as many as physical cores that may be used, counted per socket', () => {
    const read = files({
      ...status('0-3,7'),
      ...cpu(0, 0, 0),
      ...cpu(1, 0, 1),
      ...cpu(2, 1, 0),
      ...cpu(3, 0, 0),
      ...cpu(7, 0, 1),
    });
    const topology = readTopology(read);
    expect(topology).toEqual({ cores: ['0:0', '0:1', '1:0', '0:0', '0:1'], quota: null });
    expect(topology === null ? 0 : computeThreads(topology)).toBe(3);
  });

  it('are no more than the quota of the tightest group around the process', () => {
    const read = files({
      ...status('0-7'),
      '/proc/self/cgroup': '0::/kubepods/pod1',
      '/sys/fs/cgroup/kubepods/cpu.max': '250000 100000',
      '/sys/fs/cgroup/kubepods/pod1/cpu.max': 'max 100000',
      '/sys/fs/cgroup/cpu.max': '600000 100000',
    });
    const topology = readTopology(read);
    expect(topology?.quota).toBe(2.5);
    expect(topology === null ? 0 : computeThreads(topology)).toBe(2);
  });

  it('are limited by the older kind of group too, where -1 is no limit', () => {
    expect(oldQuota('300000')).toBe(3);
    expect(oldQuota('-1')).toBeNull();
  });

  it('are one at least', () => {
    expect(computeThreads({ cores: ['a', 'b'], quota: 0.5 })).toBe(1);
    expect(computeThreads({ cores: [], quota: null })).toBe(1);
  });

  it('are found on this machine, and elsewhere than on Linux as the system counts', () => {
    expect(defaultThreads()).toBeGreaterThan(0);
    expect(defaultThreads()).toBeLessThanOrEqual(availableParallelism());
    expect(readTopology(() => null)).toBeNull();
  });

  it.each([
    ['0', [0]],
    ['0-2,8,10-11', [0, 1, 2, 8, 10, 11]],
    ['', []],
    ['x,3', [3]],
  ])('reads the list of CPUs %j', (text, cpus) => {
    expect(parseCpuList(text)).toEqual(cpus);
  });
});
