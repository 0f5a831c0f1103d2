// The server's own API (docs/http-api.md): types, calls, and the one event stream.
import { signal } from '@preact/signals';

export type Phase = 'progressing' | 'paused' | 'rolling_back' | 'promoted' | 'rolled_back' | 'aborted' | 'abandoned';

export interface Metric {
  name: string; route: string; unit: string; approximate?: boolean;
  stable: number | null; canary: number | null; difference: number | null; relative: number | null;
  margin: string; verdict: 'pass' | 'regression' | 'watching' | 'no_data'; cause: string; gate: boolean;
  canary_requests: number; stable_requests: number; reason: string;
}
export interface Verdict {
  decision: string; reason: string; requests: { canary: number; stable: number }; metrics: Metric[];
  guarantee?: string; // while the look is fresh
}
export interface Step {
  weight: number; analyze_ms: number; min_requests: number; started_ms: number; ended_ms: number; outcome: string;
}
export interface LogEntry { sequence: number; time_ms: number; kind: string; text: string; actor: string }
export interface Rollout {
  id: number; service: string; canary_version: string; stable_version: string; phase: Phase; terminal: boolean;
  condition?: 'none' | 'awaits_telemetry' | 'router_failing';
  step: number; steps: Step[]; moves_traffic?: boolean; weight_asked: number; weight_applied: number | null; observed_split: number | null;
  observed_valid_ms: number; reason: string; started_ms: number; ended_ms: number; time_to_rollback_ms: number;
  judgement: Verdict | null; log?: LogEntry[]; advice?: Advice;
}
// The traffic is too little for the steps. steps: what to write into the file instead; absent where none decide more.
export interface Advice { sentence: string; steps?: string }
export interface Failure {
  trace_id: string; time_ms: number; error: string; duration_ms: number; endpoint: string; version: string; track: string;
  failed_spans: { name: string; exception_type: string; exception_message: string }[];
}
export interface Panel { title: string; type: 'timeseries' | 'gauge'; queries: { label: string; query: string }[] }
export interface Dashboard { name: string; panels: Panel[] }
export interface Service { service: string; track: string; version: string; instance: string; last_ms: number }

// Who sends telemetry where it cannot arrive.
export interface Misdirected { listener: string; address: string; what: string; count: number; last_ms: number }

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(path, init);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.error?.message ?? `${path}: HTTP ${response.status}`);
  return body as T;
}

export const getRollout = (id: string) => call<Rollout>(`/v1/rollouts/${id}`);
export const getDashboards = () => call<{ dashboards: Dashboard[] }>('/v1/dashboards').then((r) => r.dashboards);
export const getServices = () => call<{ services: Service[] }>('/v1/services').then((r) => r.services);
export const getMisdirected = () => call<{ misdirected?: Misdirected[] }>('/v1/services').then((r) => r.misdirected ?? []);
export const getFailures = (service: string, version = '') =>
  call<{ failures: Failure[] }>(`/v1/failures?${new URLSearchParams({ service, version, limit: '20' })}`).then((r) => r.failures);
export const command = (id: number, verb: string, reason: string) =>
  call<Rollout>(`/v1/rollouts/${id}/${verb}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ reason, actor: 'page' }),
  });

export const rollouts = signal<Rollout[] | null>(null); // null: not known yet
export const link = signal<'connecting' | 'live' | 'offline'>('connecting');

function put(rollout: Rollout): void {
  const others = (rollouts.value ?? []).filter((r) => r.id !== rollout.id);
  rollouts.value = [rollout, ...others].sort((a, b) => b.id - a.id);
}

// One stream per page; the browser reconnects by itself, and the header says so meanwhile.
export function followEvents(): void {
  const source = new EventSource('/v1/events');
  source.addEventListener('rollout', (event) => put(JSON.parse((event as MessageEvent<string>).data) as Rollout));
  source.onopen = () => {
    link.value = 'live';
    rollouts.value ??= [];
  };
  source.onerror = () => (link.value = 'offline');
}
