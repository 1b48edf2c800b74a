/** A bar that is partly full, in eighths of a character. Pure. */

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** `fraction` outside 0..1 counts as the nearer end; `width` in characters. */
export const bar = (fraction: number, width: number): string => {
  const full = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0)) * width;
  const whole = Math.floor(full);
  const part = eighths[Math.floor((full - whole) * 8)] ?? '';
  return ('█'.repeat(whole) + part).padEnd(width, '░');
};
