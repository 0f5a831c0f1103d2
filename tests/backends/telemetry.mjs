// The same canary release in every form that libraries and collectors send it: OTLP in protobuf, one export of one instance at a time.
// Deterministic: counts are functions of time.
// SPDX-License-Identifier: Apache-2.0
import { attribute, double, fixed64, message, packed64, packedDoubles, text, uint, bytes } from '../e2e/otlp.mjs';

const sint = (field, n) => uint(field, n >= 0 ? 2 * n : -2 * n - 1);
const bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

// Durations as ten equally likely values, in seconds, of a request that takes `scale` times as long as usual.
const likely = [0.012, 0.02, 0.027, 0.034, 0.041, 0.05, 0.062, 0.08, 0.12, 0.21];
const durations = (scale) => likely.map((d) => d * scale);

const stamps = (start, at) => [fixed64(2, BigInt(start) * 1_000_000n), fixed64(3, BigInt(at) * 1_000_000n)];

// n requests spread over the ten durations.
const portions = (n, scale) => durations(scale).map((d, i) => [d, Math.floor(n / 10) + (i < n % 10 ? 1 : 0)]);

function classic(n, scale, unit, at, start, attributes) {
  const factor = unit === 'ms' ? 1000 : 1;
  const counts = new Array(bounds.length + 1).fill(0);
  let sum = 0;
  for (const [d, k] of portions(n, scale)) {
    const i = bounds.findIndex((b) => d <= b);
    counts[i < 0 ? bounds.length : i] += k;
    sum += d * k * factor;
  }
  return message(1, ...stamps(start, at), fixed64(4, n), double(5, sum), packed64(6, counts), packedDoubles(7, bounds.map((b) => b * factor)), ...attributes(9));
}

// As an SDK has for values that differ by up to a factor of a thousand.
export const exponentialScale = 4;
function exponential(n, scale, unit, at, start, attributes) {
  const factor = unit === 'ms' ? 1000 : 1;
  const buckets = new Map();
  let sum = 0;
  for (const [d, k] of portions(n, scale)) {
    const index = Math.ceil(Math.log2(d * factor) * 2 ** exponentialScale) - 1;
    buckets.set(index, (buckets.get(index) ?? 0) + k);
    sum += d * k * factor;
  }
  const [first, last] = [Math.min(...buckets.keys()), Math.max(...buckets.keys())];
  const counts = Array.from({ length: last - first + 1 }, (_, i) => buckets.get(first + i) ?? 0);
  const varints = Buffer.concat(counts.map((c) => uint(15, c).subarray(1)));
  return message(1, ...attributes(1), ...stamps(start, at), fixed64(4, n), double(5, sum), sint(6, exponentialScale), fixed64(7, 0), message(8, sint(1, first), bytes(2, varints)));
}

const metric = (name, unit, field, ...data) => message(2, text(1, name), ...(unit ? [text(3, unit)] : []), message(field, ...data, uint(2, 2), ...(field === 7 ? [uint(3, 1)] : [])));
const number = (n, at, start, attributes) => message(1, ...stamps(start, at), double(4, n), ...attributes(7));

// Each form: the metrics of n requests of which e failed. `attributes(status)` gives a function of the field number.
const forms = {
  conventions: (n, e, scale, at, start, attributes) => [metric('http.server.request.duration', 's', 9,
    classic(n - e, scale, 's', at, start, attributes({ 'http.response.status_code': 200 })),
    classic(e, scale, 's', at, start, attributes({ 'http.response.status_code': 503, 'error.type': '503' })))],
  exponential: (n, e, scale, at, start, attributes) => [metric('http.server.request.duration', 's', 10,
    exponential(n - e, scale, 's', at, start, attributes({ 'http.response.status_code': 200 })),
    exponential(e, scale, 's', at, start, attributes({ 'http.response.status_code': 503, 'error.type': '503' })))],
  old: (n, e, scale, at, start, attributes) => [metric('http.server.duration', 'ms', 9,
    classic(n - e, scale, 'ms', at, start, attributes({ 'http.status_code': 200 })),
    classic(e, scale, 'ms', at, start, attributes({ 'http.status_code': 503 })))],
  own: (n, e, scale, at, start, attributes) => [
    metric('http.server.request', '', 7, number(n, at, start, attributes({}))),
    metric('http.server.request.errors', '', 7, number(e, at, start, attributes({}))),
    metric('http.server.request.duration', 'ms', 9, classic(n, scale, 'ms', at, start, attributes({})))],
  spans: (n, e, scale, at, start, attributes) => {
    const of = (kind, code) => attributes({ 'span.name': 'GET /pay', 'span.kind': kind, 'status.code': code });
    const ok = of('SPAN_KIND_SERVER', 'STATUS_CODE_UNSET');
    const bad = of('SPAN_KIND_SERVER', 'STATUS_CODE_ERROR');
    const call = of('SPAN_KIND_CLIENT', 'STATUS_CODE_ERROR');
    return [
      metric('traces.span.metrics.calls', '', 7, number(n - e, at, start, ok), number(e, at, start, bad), number(n, at, start, call)),
      metric('traces.span.metrics.duration', 'ms', 9, classic(n - e, scale, 'ms', at, start, ok), classic(e, scale, 'ms', at, start, bad))];
  },
};
export const formNames = Object.keys(forms);

// What happens to the canary: its share of failures, and how slow it is.
export const outcomes = { good: [0.004, 1], failing: [0.12, 1], slow: [0.004, 2.5] };

export const serviceName = (form, outcome) => `${form}-${outcome}`;

const minutes = 25;
const everyMs = 15_000;
const tracks = [['stable', '2.3.0', 's1', 25, 1_000, 60], ['stable', '2.3.0', 's2', 25, 8_000, 40], ['canary', '2.4.0', 'c1', 15, 5_000, 12]];

// Gives the bodies of all exports until `end`, in order of time: [ms, Buffer]. Every export holds all services of one instance.
export function* exports(end) {
  for (let base = end - minutes * 60_000; base < end; base += everyMs) {
    for (const [track, version, name, age, offset, perSecond] of tracks) {
      const at = base + offset;
      const start = end - age * 60_000 + offset - everyMs;
      if (at > end || at <= start) continue;
      const n = Math.floor(((at - start) / 1000) * perSecond);
      const parts = [];
      for (const form of formNames) {
        for (const [outcome, [failing, slow]] of Object.entries(outcomes)) {
          const canary = track === 'canary';
          const e = Math.floor(n * (canary ? failing : 0.004));
          const attributes = (more) => (field) => Object.entries({ 'http.route': '/pay', ...more }).map(([k, v]) => attribute(field, k, v));
          const resource = message(1, ...Object.entries({ 'service.name': serviceName(form, outcome), 'service.version': version, 'deployment.track': track,
            'service.instance.id': `${form}-${outcome}-${name}` }).map(([k, v]) => attribute(1, k, v)));
          parts.push(message(1, resource, message(2, message(1, text(1, 'checkout')), ...forms[form](n, e, canary ? slow : 1, at, start, attributes))));
        }
      }
      yield [at, Buffer.concat(parts)];
    }
  }
}
