// Numbers and times as people read them: units on every number, 24-hour clock.

// Little is not nothing: a share that is not 0 never reads 0 %.
export function percent(ratio: number | null | undefined, digits = 2): string {
  if (ratio == null || Number.isNaN(ratio)) return '–';
  const text = (ratio * 100).toFixed(digits);
  return `${ratio !== 0 && Number(text) === 0 ? Number((ratio * 100).toPrecision(2)) : text} %`;
}

// A weight as it was asked for: 0.5 % is not 1 %.
export const weight = (share: number): string => `${Number((share * 100).toPrecision(4))} %`;

export const points = (difference: number): string => `${(difference * 100).toFixed(2)} pp`;

export function millis(ms: number | null | undefined): string {
  if (ms == null || Number.isNaN(ms)) return '–';
  if (!Number.isFinite(ms)) return '∞';
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 100 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
}

export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; unit + 1 < units.length && Math.abs(n) >= 1000; ++unit) n /= 1000;
  return `${unit === 0 ? n.toFixed(0) : n.toFixed(1)} ${units[unit]}`;
}

// A signal's value in its unit, as the API names units.
export function measure(value: number | null | undefined, unit: string): string {
  if (value == null || Number.isNaN(value)) return '–';
  switch (unit) {
    case 'ms': return millis(value);
    case 'ratio': return percent(value);
    case 's': return Math.abs(value) < 1 ? millis(value * 1000) : `${value.toPrecision(4)} s`;
    case 'bytes': return bytes(value);
    case 'rps': return `${Number(value.toPrecision(4))}/s`;
    default: return String(Number(value.toPrecision(4)));
  }
}

export function duration(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1000));
  const [h, m, s] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  if (h > 0) return `${h}h ${m}m`;
  return m > 0 ? `${m}m ${s}s` : `${s}s`;
}

export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB', { hour12: false });
}

export function timeZone(): string {
  const minutes = -new Date().getTimezoneOffset();
  const sign = minutes < 0 ? '−' : '+';
  const [h, m] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return minutes === 0 ? 'UTC' : `UTC${sign}${h}${m ? `:${String(m).padStart(2, '0')}` : ''}`;
}
