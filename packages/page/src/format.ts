/** Numbers as people read them. Everything here takes the wire's units and gives a short text. */

const dash = '–';

export const count = (value: number): string => value.toLocaleString('en-US');

/** `512 MB`, `11.2 GB`: megabytes in, binary steps. */
export const memory = (mb: number): string => {
  if (mb < 1000) return `${Math.round(mb)} MB`;
  const gb = mb / 1024;
  return `${gb < 100 ? gb.toFixed(1) : Math.round(gb)} GB`;
};

/** `85 ms`, `2.41 s`, `1 min 05 s`. */
export const duration = (ms: number | null): string => {
  if (ms === null) return dash;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9995 ? 2 : 1)} s`;
  const secs = Math.round(ms / 1000);
  if (secs < 3600) return `${Math.floor(secs / 60)} min ${String(secs % 60).padStart(2, '0')} s`;
  return `${Math.floor(secs / 3600)} h ${String(Math.floor(secs / 60) % 60).padStart(2, '0')} min`;
};

/** `3 d 4 h`, `2 h 5 min`, `40 s`. */
export const span = (secs: number): string => {
  const whole = Math.max(0, Math.round(secs));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
};

export const rate = (tokS: number | null): string => {
  if (tokS === null) return dash;
  if (tokS === 0) return '0';
  return tokS < 100 ? tokS.toFixed(1) : count(Math.round(tokS));
};

export const percent = (fraction: number): string => `${Math.round(fraction * 100)} %`;

/** `14:03:22`, in the browser's time zone. */
export const clock = (epochMs: number): string =>
  new Date(epochMs).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** `32k`, `1M`: tokens of a context. */
export const tokens = (n: number): string => {
  if (n < 10_000 && n % 1024 !== 0) return count(n);
  if (n < 1_000_000) return `${Math.round(n / 1024)}k`;
  return `${(n / 1_048_576).toFixed(n % 1_048_576 === 0 ? 0 : 1)}M`;
};

export const bytes = (n: number): string => {
  if (n < 1024) return `${n} B`;
  if (n < 1024 * 1024) return `${Math.round(n / 1024)} kB`;
  return `${(n / 1024 / 1024).toFixed(1)} MB`;
};
