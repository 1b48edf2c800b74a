/**
 * Display controllers as Linux lists them under `/sys/bus/pci`: which there are, and what the driver of each tells of
 * load and temperature. Elsewhere, and for what a driver does not tell, there is nothing to read.
 */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

export interface PciCard {
  /** Such as `0000:01:00.0`. */
  readonly pciId: string;
  readonly vendor: 'nvidia' | 'amd' | 'intel' | 'other';
}

export interface CardReading {
  readonly utilizationPct: number | null;
  readonly tempC: number | null;
}

const vendors: Readonly<Record<string, PciCard['vendor']>> = { '0x10de': 'nvidia', '0x1002': 'amd', '0x8086': 'intel' };
/** Class code of VGA, XGA, 3D and other display controllers. */
const displayClass = /^0x03/;

const pciDevicesDir = '/sys/bus/pci/devices';

const textOf = async (...parts: readonly string[]): Promise<string> =>
  (await readFile(path.join(...parts), 'utf8').catch(() => '')).trim();

const numberOf = async (...parts: readonly string[]): Promise<number | null> => {
  const text = await textOf(...parts);
  return /^-?\d+$/.test(text) ? Number(text) : null;
};

const namesIn = async (dir: string): Promise<readonly string[]> =>
  (await readdir(dir).catch((): string[] => [])).toSorted((a, b) => (a < b ? -1 : 1));

export const readPciCards = async (dir = pciDevicesDir): Promise<readonly PciCard[]> => {
  const ids = await namesIn(dir);
  const cards = ids.map(async (pciId): Promise<PciCard | null> => {
    if (!displayClass.test(await textOf(dir, pciId, 'class'))) return null;
    return { pciId: pciId.toLowerCase(), vendor: vendors[await textOf(dir, pciId, 'vendor')] ?? 'other' };
  });
  return (await Promise.all(cards)).filter((card) => card !== null);
};

/** amdgpu tells both; i915 and xe the temperature. Never throws. */
export const readCard = async (pciId: string, dir = pciDevicesDir): Promise<CardReading> => {
  const device = path.join(dir, pciId);
  const [sensor] = await namesIn(path.join(device, 'hwmon'));
  const milliC = sensor === undefined ? null : await numberOf(device, 'hwmon', sensor, 'temp1_input');
  return {
    utilizationPct: await numberOf(device, 'gpu_busy_percent'),
    tempC: milliC === null ? null : Math.round(milliC / 1000),
  };
};
