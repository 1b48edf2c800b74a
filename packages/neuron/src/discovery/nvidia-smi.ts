/** What `nvidia-smi` prints, as data. Pure: texts in, readings out; a value it cannot tell is null. */

/** Fields of one GPU in the order they are asked for; the parser relies on it. */
const fields = [
  'index',
  'pci.bus_id',
  'name',
  'driver_version',
  'memory.total',
  'memory.used',
  'memory.free',
  'utilization.gpu',
  'temperature.gpu',
  'compute_cap',
] as const;

const argumentsFor = (asked: readonly string[]): readonly string[] => [
  `--query-gpu=${asked.join(',')}`,
  '--format=csv,noheader,nounits',
];

export const queryArguments = argumentsFor(fields);

/** For drivers older than the last of the fields. */
export const olderQueryArguments = argumentsFor(fields.slice(0, -1));

export const isUnknownField = (output: string): boolean => /is not a valid field to query/i.test(output);

export interface GpuReading {
  readonly index: number;
  /** As CUDA and ggml write it: `0000:01:00.0`. */
  readonly pciId: string;
  readonly name: string;
  readonly driverVersion: string | null;
  readonly memoryTotalMb: number | null;
  readonly memoryUsedMb: number | null;
  readonly memoryFreeMb: number | null;
  readonly utilizationPct: number | null;
  readonly tempC: number | null;
  readonly computeCapability: string | null;
}

/** `[N/A]`, `[Not Supported]`, `[GPU is lost]`, `ERR!` and the like all mean that there is no value. */
const textOf = (cell: string | undefined): string | null => {
  const text = cell?.trim() ?? '';
  return text === '' || /^\[.*\]$|^N\/A$|^ERR!?$/i.test(text) ? null : text;
};

const numberOf = (cell: string | undefined): number | null => {
  const text = textOf(cell);
  const value = text === null ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
};

/** NVML pads the domain to eight digits and writes capitals; everyone else has four and small letters. */
export const normalPciId = (id: string): string =>
  id
    .trim()
    .toLowerCase()
    .replace(/^[0-9a-f]{4}(?=[0-9a-f]{4}:)/, '');

/** Lines that are not a GPU (warnings, blank lines) are passed over. */
export const parseGpus = (csv: string): readonly GpuReading[] =>
  csv.split('\n').flatMap((line): GpuReading[] => {
    const cells = line.split(',');
    const index = numberOf(cells[0]);
    if (cells.length < fields.length - 1 || cells.length > fields.length || index === null || !Number.isInteger(index))
      return [];
    return [
      {
        index,
        pciId: normalPciId(cells[1] ?? ''),
        name: textOf(cells[2]) ?? 'unknown',
        driverVersion: textOf(cells[3]),
        memoryTotalMb: numberOf(cells[4]),
        memoryUsedMb: numberOf(cells[5]),
        memoryFreeMb: numberOf(cells[6]),
        utilizationPct: numberOf(cells[7]),
        tempC: numberOf(cells[8]),
        computeCapability: textOf(cells[9]),
      },
    ];
  });

/** From the banner of a plain `nvidia-smi`: the newest CUDA that the driver serves, such as `13.0`. */
export const parseCudaVersion = (banner: string): string | null =>
  /CUDA(?: UMD)? Version\s*:\s*(\d+\.\d+)/.exec(banner)?.[1] ?? null;

/** The one line of a failed `nvidia-smi` that says why. */
export const failureReason = (output: string): string => {
  const line = output
    .split('\n')
    .map((one) => one.trim())
    .find((one) => one !== '');
  return line === undefined ? 'nvidia-smi failed without a word' : line.slice(0, 300);
};
