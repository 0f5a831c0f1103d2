// Reading a PromQL panel: which track a query is about, what unit its numbers have, and asking for its numbers.

export type Track = 'canary' | 'stable';

export function trackOf(query: string, label: string): Track | null {
  const tracks = new Set([...query.matchAll(/deployment_track\s*=\s*"(canary|stable)"/g)].map((m) => m[1] as Track));
  if (tracks.size === 1) return [...tracks][0]!;
  if (tracks.size > 1) return null;
  const word = /\b(canary|stable)\b/i.exec(label)?.[1]?.toLowerCase();
  return (word as Track | undefined) ?? null;
}

// sum(rate(..)) / sum(rate(..)): a share, shown in percent.
export const isRatio = (query: string): boolean =>
  /\)\s*\/\s*(sum|\()/.test(query) && (query.match(/\b(rate|increase)\s*\(/g)?.length ?? 0) >= 2;

export function unitOf(query: string): '' | 'ms' | 's' | '%' {
  if (/histogram_quantile/.test(query)) return /_seconds_bucket/.test(query) ? 's' : /_duration(_milliseconds)?_bucket/.test(query) ? 'ms' : '';
  return isRatio(query) ? '%' : '';
}

type PromAnswer<T> = { status: 'success'; data: { result: T } } | { status: 'error'; error: string };

async function ask<T>(path: string, form: Record<string, string>): Promise<T> {
  const response = await fetch(`/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(form) });
  const answer = (await response.json()) as PromAnswer<T>;
  if (answer.status === 'error') throw new Error(answer.error);
  return answer.data.result;
}

export type Line = { times: number[]; values: (number | null)[] };

// One line from a range query: the first series, with a gap (null) where a step has no number.
export async function range(query: string, from: number, to: number, step: number): Promise<Line> {
  const start = Math.floor(from / step) * step;
  const series = await ask<{ values?: [number, string][] }[]>('query_range', { query, start: String(start), end: String(to), step: String(step) });
  const found = new Map((series[0]?.values ?? []).map(([t, v]) => [Math.round(t * 1000), Number(v)]));
  const line: Line = { times: [], values: [] };
  for (let t = start; t <= to; t += step) {
    const value = found.get(Math.round(t * 1000));
    line.times.push(t);
    line.values.push(value === undefined || !Number.isFinite(value) ? null : value);
  }
  return line;
}

// The newest number of a query; null: no data, or 0/0.
export async function latest(query: string): Promise<number | null> {
  const result = await ask<{ value?: [number, string] }[]>('query', { query });
  const value = Number(result[0]?.value?.[1] ?? NaN);
  return Number.isFinite(value) ? value : null;
}
