// What a rollout's page says of the traffic, and what its charts ask.
import type { Advice, Panel, Rollout } from './api';
import { weight } from './format';

// The canary's part of the traffic, as far as anybody knows. With `router: observe` a weight is a plan, and where a router was given up nobody knows.
export function trafficOf(r: Pick<Rollout, 'phase' | 'moves_traffic' | 'weight_applied' | 'weight_asked'>): { share: number | null; title: string } {
  if (r.moves_traffic === false) return { share: r.weight_asked, title: `planned weight ${weight(r.weight_asked)}; nothing is moved (router: observe)` };
  if (r.phase === 'abandoned') return { share: null, title: 'weight unknown: the router is not asked any more' };
  if (r.weight_applied === null) return { share: r.weight_asked, title: `weight ${weight(r.weight_asked)} asked for, not read back` };
  return { share: r.weight_applied, title: `weight ${weight(r.weight_applied)}` };
}

// What the gauge marks: nothing is asked of a router that was given up.
export const askedOf = (r: Pick<Rollout, 'phase' | 'weight_asked'>): number | null => (r.phase === 'abandoned' ? null : r.weight_asked);

// In place of a share of requests where none is seen: where the requests are.
export function splitWords(r: Pick<Rollout, 'phase' | 'moves_traffic'>): string {
  if (r.phase === 'abandoned') return 'unknown';
  if (r.phase === 'progressing' || r.phase === 'paused') return 'none seen lately at this weight';
  if (r.moves_traffic === false) return 'nothing was moved';
  if (r.phase === 'promoted') return 'all on the canary';
  return r.phase === 'rolling_back' ? 'going back to stable' : 'all on stable';
}

// A note on traffic that is too little: the words before the steps to write, those steps, and the words behind.
export function adviceParts({ sentence, steps }: Advice): [string, string, string] {
  const code = steps ? `steps: ${steps}` : '';
  const at = code ? sentence.indexOf(code) : -1;
  return at < 0 ? [sentence, '', ''] : [sentence.slice(0, at), code, sentence.slice(at + code.length)];
}

// The live charts ask the same PromQL that a user could. Over four export intervals of a minute, so that a chart is not empty at the SDKs' defaults. Shorter
// steps want shorter ones; where exports come too seldom for that, the longer one is drawn.
export function panelsOf(r: Pick<Rollout, 'service' | 'stable_version' | 'canary_version' | 'steps'>): Panel[] {
  const windows = (r.steps[0]?.analyze_ms ?? 600_000) >= 60_000 ? ['4m'] : ['10s', '4m'];
  const over = windows.length === 1 ? 'over 4m' : 'over 10s (4m where exports come seldom)';
  const version = { stable: r.stable_version, canary: r.canary_version };
  // By version too: what the track runs after this rollout is another rollout's. Where it is not known yet, nothing has that version.
  const pick = (track: keyof typeof version) =>
    `service_name=${JSON.stringify(r.service)}, deployment_track="${track}"${version[track] ? `, service_version=${JSON.stringify(version[track])}` : ''}`;
  const errorRate = (track: keyof typeof version, window: string) =>
    `sum(rate(http_server_request_errors_total{${pick(track)}}[${window}])) / sum(rate(http_server_request_total{${pick(track)}}[${window}]))`;
  const p99 = (track: keyof typeof version, window: string) =>
    `histogram_quantile(0.99, sum(rate(http_server_request_duration_bucket{${pick(track)}}[${window}])) by (le))`;
  const label = { stable: `stable ${r.stable_version}`, canary: `canary ${r.canary_version}` };
  const both = (query: typeof p99) =>
    (['stable', 'canary'] as const).map((track) => ({ label: label[track], query: windows.map((window) => query(track, window)).join(' or ') }));
  return [
    { title: `Error rate, ${over}`, type: 'timeseries', queries: both(errorRate) },
    { title: `p99 latency, ${over}`, type: 'timeseries', queries: both(p99) },
  ];
}
