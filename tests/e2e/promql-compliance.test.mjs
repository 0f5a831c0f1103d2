// The queries of Prometheus's own compliance test, and random ones, against a Prometheus with the same data: Debian's, or (in
// `./dev test backends`) a current one.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Coalmine, root } from './harness.mjs';
import { Prometheus, ask, difference, prometheusVersion } from './prometheus.mjs';
import { Generator, random, shrink, text } from './promql-random.mjs';
import { remoteWriteAll } from './remote-write.mjs';

const version = prometheusVersion();
const old = version?.startsWith('2.');

// Samples lie off the seconds, so that no range begins or ends on one: whether it then counts changed with Prometheus 3.
const kOff = 237;

// The metrics of the demo service that the queries are about, every 5 s.
function demo(startMs, endMs) {
  const series = [];
  const add = (name, labels, value) => {
    const samples = [];
    for (let ms = startMs + kOff, i = 0; ms <= endMs; ms += 5000, i++) {
      const v = value(i);
      if (v !== null) samples.push([ms, v]);
    }
    series.push({ labels: { __name__: name, job: 'demo', ...labels }, samples });
  };
  for (let n = 0; n < 3; n++) {
    const instance = `demo.promlabs.com:1000${n}`;
    for (const [t, type] of ['buffers', 'cached', 'free', 'used'].entries()) {
      add('demo_memory_usage_bytes', { instance, type }, (i) => Math.round(1e8 * (t + 1) + 3e7 * Math.sin(i / (20 + n)) + 1e6 * ((i * 7919) % 13)));
    }
    for (const [m, mode] of ['idle', 'system', 'user'].entries()) {
      add('demo_cpu_usage_seconds_total', { instance, mode }, (i) => ((i % 400) + (i >= 400 && n === 1 ? 0 : Math.floor(i / 400) * 400)) * (0.3 + 0.1 * m) * (n + 1));
    }
    add('demo_num_cpus', { instance }, () => 4);
    add('demo_disk_usage_bytes', { instance }, (i) => 1e9 + i * (1000 + n));
    add('demo_batch_last_success_timestamp_seconds', { instance }, (i) => (startMs / 1000) + Math.floor(i / 60) * 300 + n);
    add('demo_intermittent_metric', { instance }, (i) => (Math.floor(i / 30) % 3 === n ? null : i));
    for (const [p, path_] of ['/api/bar', '/api/foo'].entries()) {
      for (const status of ['200', '500']) {
        const labels = { instance, path: path_, status, method: p === 0 ? 'GET' : 'POST' };
        const rate = status === '200' ? 10 + n : 0.5;
        const bounds = [0.001, 0.0025, 0.01, 0.05, 0.1, 0.5, 1];
        for (const [b, le] of bounds.entries()) add('demo_api_request_duration_seconds_bucket', { ...labels, le: String(le) }, (i) => Math.floor(i * rate * ((b + 1) / 8)));
        add('demo_api_request_duration_seconds_bucket', { ...labels, le: '+Inf' }, (i) => Math.floor(i * rate));
        add('demo_api_request_duration_seconds_count', labels, (i) => Math.floor(i * rate));
        add('demo_api_request_duration_seconds_sum', labels, (i) => i * rate * 0.04);
      }
    }
  }
  return series;
}

async function both(t, series) {
  const [prometheus, coalmine] = await Promise.all([Prometheus.start(t), Coalmine.start(t)]);
  await Promise.all([remoteWriteAll(prometheus.url, series), remoteWriteAll(coalmine.url, series)]);
  return [prometheus.url, coalmine.url];
}

// What changed on purpose between 2.42 and 3.14; docs/promql.md lists them.
const changed = [
  { query: /^label_(replace|join)\(demo_num_cpus, "~invalid"/, why: 'label names are any UTF-8' },
  { query: /\[2m:10s\]/, why: 'a subquery no longer looks at the moment its range begins with' },
];

test('the compliance queries', { skip: version ? false : 'prometheus is not installed', timeout: 240_000 }, async (t) => {
  const end = Math.floor(Date.now() / 60_000) * 60_000 - 60_000;
  const [prometheus, coalmine] = await both(t, demo(end - 55 * 60_000, end));
  const when = { start: end / 1000 - 22 * 60, end: end / 1000 - 12 * 60, step: 10 };
  const cases = fs.readFileSync(path.join(root, 'tests/promql/compliance/queries.jsonl'), 'utf8').trim().split('\n').map((l) => JSON.parse(l));
  assert.equal(cases.length, 539);
  const wrong = [];
  let same = 0;
  let allowed = 0;
  for (const { query, should_fail: fails } of cases) {
    const [theirs, ours] = await Promise.all([ask(prometheus, query, when), ask(coalmine, query, when)]);
    const why = difference(theirs, ours);
    if (why === '') {
      same++;
      assert.equal(theirs.status === 'error', fails && theirs.status === 'error', query);
    } else if (old && changed.some((c) => c.query.test(query))) {
      allowed++;
    } else {
      wrong.push(`${query}\n    ${why}`);
    }
  }
  t.diagnostic(`prometheus ${version}: ${same} of ${cases.length} the same, ${allowed} changed on purpose`);
  assert.deepEqual(wrong, [], wrong.join('\n'));
});

// A number of queries, so that every machine asks the same; with COALMINE_FUZZ_SECONDS for that long. COALMINE_FUZZ_SEED: where to begin.
const kQueries = 1500;
const seconds = Number(process.env.COALMINE_FUZZ_SECONDS ?? 0);
const firstSeed = Number(process.env.COALMINE_FUZZ_SEED ?? 1);

const labels = { job: ['api', 'db'], instance: ['0', '1', '2'] };
const world = {
  metrics: [
    { name: 'requests_total', kind: 'counter', labels },
    { name: 'errors_total', kind: 'counter', labels },
    { name: 'temperature', kind: 'gauge', labels },
    { name: 'odd', kind: 'gauge', labels },
    { name: 'latency_bucket', kind: 'classic', labels: { ...labels, le: ['0.1', '1', '+Inf'] } },
  ],
  features: new Set(old ? [] : ['recent']),
  numbers: ['0', '1', '2', '-1', '0.5', '3', '10', '-2.5', '100', '1e3'],
};

// A little of everything: resets, gaps, ends, NaN, infinities, buckets that fall.
function mixture(startMs, endMs, rng) {
  const series = [];
  const add = (name, more, step, value) => {
    const samples = [];
    for (let ms = startMs + kOff, i = 0; ms <= endMs; ms += step, i++) {
      const v = value(i);
      if (v !== null) samples.push([ms, v]);
    }
    series.push({ labels: { __name__: name, ...more }, samples });
  };
  for (const job of labels.job) {
    for (const instance of labels.instance) {
      if (rng.chance(0.15)) continue;
      const period = 20 + rng.below(60);
      const rate = rng.below(20);
      add('requests_total', { job, instance }, 15_000, (i) => (i % period) * rate);
      add('errors_total', { job, instance }, 15_000, (i) => i > 100 ? Math.floor(i / 9) - 5 : Math.floor(i / 9));
      add('temperature', { job, instance }, rng.pick([15_000, 30_000, 47_000]), (i) => (Math.floor(i / 25) % 3 === 2 ? null : 20 + 10 * Math.sin(i / 7) - rate));
      add('odd', { job, instance }, 30_000, () => rng.pick([0, -0, 1, 3.5, -2, 16, NaN, ...(old ? [] : [Infinity, -Infinity])]));
      for (const [b, le] of ['0.1', '1', '+Inf'].entries()) add('latency_bucket', { job, instance, le }, 15_000, (i) => (i % period) * (b + 1) + (i > 0 && rng.chance(0.02) ? 5 : 0));
    }
  }
  return series;
}

test('random queries', { skip: version ? false : 'prometheus is not installed', timeout: (seconds + 240) * 1000 }, async (t) => {
  const end = Math.floor(Date.now() / 60_000) * 60_000 - 60_000;
  const [prometheus, coalmine] = await both(t, mixture(end - 50 * 60_000, end, random(firstSeed)));
  const deadline = performance.now() + seconds * 1000;
  const more = () => (seconds > 0 ? performance.now() < deadline : asked < kQueries);
  const wrong = [];
  let asked = 0;
  let answered = 0;
  for (let seed = firstSeed; more() && wrong.length < 10; seed++) {
    const rng = random(seed);
    const tree = new Generator(rng, { ...world, times: [60, 600, 1500].map((s) => String(end / 1000 + 7.3 - s)) }).query(1 + rng.below(4));
    // Off the seconds, as the samples are: no subquery begins on one of its steps.
    const to = end / 1000 + 7.3 - rng.pick([0, 0, 60, 601, 1200]);
    const when = rng.chance(0.5) ? { time: to } : { start: to - rng.pick([300, 1200, 2400]), end: to, step: rng.pick([15, 47, 60, 300]) };
    const differs = async (query) => {
      const [theirs, ours] = await Promise.all([ask(prometheus, query, when), ask(coalmine, query, when)]);
      if (theirs.status === 'success' && theirs.data.result.length > 0) answered++;
      return known(query, theirs, ours) ? '' : difference(theirs, ours);
    };
    asked++;
    if ((await differs(text(tree))) === '') continue;
    const small = text(await shrink(tree, async (query) => (await differs(query)) !== ''));
    wrong.push(`seed ${seed} ${JSON.stringify(when)}: ${small}\n    ${await differs(small)}`);
  }
  t.diagnostic(`prometheus ${version}: ${asked} random queries from seed ${firstSeed}, ${answered} answers with series, ${wrong.length} differ`);
  assert.deepEqual(wrong, [], wrong.join('\n'));
});

// Differences that are none: those between 2.42 and the current language, which docs/promql.md lists, and what no two implementations agree
// about.
function known(query, theirs, ours) {
  if (/\b(topk|bottomk)\b/.test(query)) return true; // among equals either takes any
  // The last digit: Go computes these functions itself, coalmine asks the C library. Made visible by what jumps: comparisons, remainders,
  // texts of numbers.
  if (/\b(asinh|atan|sin|cos|tan)\b|\^/.test(query) && /[<>=]|%|count_values|floor|ceil|round|sgn|changes|resets|\bquantile/.test(query)) return true;
  return old && knownOfOld(query, theirs, ours);
}

function knownOfOld(query, theirs, ours) {
  if (/\batan2\b/.test(query)) return true; // kept the name of the metric
  // What lies before the first sample is guessed in another order when a gap comes before it.
  if (/\b(rate|increase)\b/.test(query) && /odd|temperature|:/.test(query)) return true;
  if (/count_values.*(h\(|ln|log|exp|sqrt|avg|std|quantile|deriv|predict|rate|increase|delta|deg|rad|sin|cos|tan|\^|\/)/.test(query)) return true; // last digits
  if (/%|\bstd(dev|var).*[<>=]/.test(query)) return true; // last digits, made large
  if (/predict_linear.*@/.test(query)) return true; // 2.42 loses steps
  const values = (answer) => JSON.stringify(answer.data ?? '');
  // An infinite neighbour of the value that a quantile falls on was multiplied by 0.
  if (/\bquantile/.test(query) && values(theirs).includes('"NaN"')) return true;
  if (/\bstd(dev|var)\b/.test(query) && values(ours).includes('"NaN"')) return true; // 0 of a single NaN
  // The mean of numbers that cancel is exactly 0 now, and was almost 0: dividing by it makes the last digit large.
  if (/\bavg(_over_time)?\b.*\//.test(query) && /"NaN"|Inf"/.test(values(ours))) return true;
  return false;
}
