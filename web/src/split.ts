// What a rollout's page says of the traffic, and what its charts ask.
import type { Panel, Rollout } from './api';

// In place of a share of requests where none is seen: where the requests are.
export function splitWords(r: Pick<Rollout, 'phase' | 'moves_traffic'>): string {
  if (r.phase === 'abandoned') return 'unknown';
  if (r.phase === 'progressing' || r.phase === 'paused') return 'no requests seen in this step yet';
  if (r.moves_traffic === false) return 'nothing was moved';
  if (r.phase === 'promoted') return 'all on the canary';
  return r.phase === 'rolling_back' ? 'going back to stable' : 'all on stable';
}

// The live charts ask the same PromQL that a user could. Over four export intervals of a minute, so that a chart is not empty at the SDKs' defaults; shorter
// steps want shorter ones.
export function panelsOf(r: Pick<Rollout, 'service' | 'stable_version' | 'canary_version' | 'steps'>): Panel[] {
  const window = (r.steps[0]?.analyze_ms ?? 600_000) >= 60_000 ? '4m' : '10s';
  const version = { stable: r.stable_version, canary: r.canary_version };
  // By version too: what the track runs after this rollout is another rollout's. Where it is not known yet, nothing has that version.
  const pick = (track: keyof typeof version) =>
    `service_name=${JSON.stringify(r.service)}, deployment_track="${track}"${version[track] ? `, service_version=${JSON.stringify(version[track])}` : ''}`;
  const errorRate = (track: keyof typeof version) =>
    `sum(rate(http_server_request_errors_total{${pick(track)}}[${window}])) / sum(rate(http_server_request_total{${pick(track)}}[${window}]))`;
  const p99 = (track: keyof typeof version) =>
    `histogram_quantile(0.99, sum(rate(http_server_request_duration_bucket{${pick(track)}}[${window}])) by (le))`;
  const label = { stable: `stable ${r.stable_version}`, canary: `canary ${r.canary_version}` };
  const both = (query: typeof p99) =>
    (['stable', 'canary'] as const).map((track) => ({ label: label[track], query: query(track) }));
  return [
    { title: `Error rate, over ${window}`, type: 'timeseries', queries: both(errorRate) },
    { title: `p99 latency, over ${window}`, type: 'timeseries', queries: both(p99) },
  ];
}
