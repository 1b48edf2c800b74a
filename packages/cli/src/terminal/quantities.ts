/** Figures as people read them: three digits that matter, and a unit. Pure. */

const byteUnits = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

const threeDigits = (value: number): string =>
  value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);

/** In units of 1024, as memory is counted everywhere here: `9.02 MB`, `15.5 GB`. */
export const bytesText = (bytes: number): string => {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${threeDigits(value)} ${byteUnits[unit] ?? 'B'}`;
};

export const megabytesText = (mb: number): string => bytesText(mb * 1024 * 1024);

/** `350 ms`, `4.2 s`, `2 min 5 s`, `3 h 12 min`, `4 d 6 h`. */
export const durationText = (ms: number): string => {
  if (ms < 995) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const secs = Math.round(ms / 1000);
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(secs / 86_400), 'd'],
    [Math.floor(secs / 3600) % 24, 'h'],
    [Math.floor(secs / 60) % 60, 'min'],
    [secs % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
};

/** Tokens of a context as models are advertised: `128k`, `4096` as `4k`, `1000` as it is. */
export const tokensText = (tokens: number): string => {
  if (tokens >= 1024 * 1024 && tokens % (1024 * 1024) === 0) return `${tokens / (1024 * 1024)}M`;
  if (tokens >= 1024 && tokens % 1024 === 0) return `${tokens / 1024}k`;
  return String(tokens);
};

/** `1 node`, `2 nodes`, `3 aliases`. */
export const counted = (count: number, noun: string): string => {
  const ending = count === 1 ? '' : noun.endsWith('s') ? 'es' : 's';
  return `${count} ${noun}${ending}`;
};

export const percentText = (fraction: number): string => `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)} %`;
