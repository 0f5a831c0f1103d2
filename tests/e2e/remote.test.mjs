// One verdict from three sources that hold the same samples: Debian's Prometheus, coalmine's own Prometheus API, and a recording.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Coalmine, binary, freePorts, scratch } from './harness.mjs';
import { Prometheus, prometheusVersion } from './prometheus.mjs';
import { remoteWriteAll } from './remote-write.mjs';

const minutes = 25;

// 25 minutes until now: two stable instances and a canary of fifteen minutes, exported every 15 s at different moments.
function release(now, canaryErrors) {
  const series = [];
  const instance = (track, version, name, from, offset, perSecond, errors) => {
    const labels = { service_name: 'checkout', deployment_track: track, service_version: version, instance: name, http_route: '/pay' };
    const times = [];
    for (let t = now - from * 60_000 + offset; t <= now; t += 15_000) times.push(t);
    const count = (t) => Math.floor(((t - times[0] + 15_000) / 1000) * perSecond);
    const add = (metric, value, more = {}) => series.push({ labels: { __name__: metric, ...labels, ...more }, samples: times.map((t) => [t, value(count(t))]) });
    add('http_server_request_total', (n) => n);
    add('http_server_request_errors_total', (n) => Math.floor(n * errors));
    add('http_server_request_duration_count', (n) => n);
    add('http_server_request_duration_sum', (n) => n * 80);
    for (const [le, share] of [['100', 0.9], ['250', 0.985], ['500', 0.999], ['+Inf', 1]]) add('http_server_request_duration_bucket', (n) => Math.floor(n * share), { le });
  };
  instance('stable', '2.3.0', 's1', minutes, 1_000, 60, 0.004);
  instance('stable', '2.3.0', 's2', minutes, 8_000, 40, 0.004);
  instance('canary', '2.4.0', 'c1', 15, 5_000, 6, canaryErrors);
  return series;
}

const escaped = (text) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
function recording(series) {
  const lines = series.flatMap(({ labels: { __name__, ...rest }, samples }) => samples.map(([ms, value]) =>
    `${__name__}{${Object.entries(rest).map(([k, v]) => `${k}="${escaped(v)}"`).join(',')}} ${value} ${ms / 1000}`));
  return `${lines.join('\n')}\n# EOF\n`;
}

async function run(args, env = {}) {
  const child = spawn(binary, args, { env: { ...process.env, GITHUB_ACTIONS: '', ...env } });
  let out = '';
  let err = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  const code = await new Promise((resolve) => child.once('exit', resolve));
  return { code, out, err };
}

test('three sources, one verdict', { skip: prometheusVersion() ? false : 'prometheus is not installed', timeout: 120_000 }, async (t) => {
  for (const [errors, exit] of [[0.12, 1], [0.004, 0]]) {
    const now = Date.now();
    const series = release(now, errors);
    const dir = scratch(t);
    fs.writeFileSync(path.join(dir, 'release.om'), recording(series));
    const [prometheus, coalmine] = await Promise.all([Prometheus.start(t), Coalmine.start(t)]);
    await Promise.all([remoteWriteAll(prometheus.url, series), remoteWriteAll(coalmine.url, series)]);
    for (const judge of ['threshold', 'sequential']) {
      const config = path.join(dir, `${judge}.yaml`);
      fs.writeFileSync(config, `service: checkout\njudge: { method: ${judge} }\n`);
      const verdicts = [];
      for (const source of [prometheus.url, coalmine.url, path.join(dir, 'release.om')]) {
        const { code, out, err } = await run(['analyze', 'checkout', '--source', source, '-c', config, '--window', '14m', '--at', String(now / 1000), '-o', 'json']);
        assert.equal(code, exit, `${judge} of ${source}: ${out} ${err}`);
        verdicts.push(JSON.parse(out));
      }
      assert.deepEqual(verdicts[0], verdicts[1]);
      assert.deepEqual(verdicts[0], verdicts[2]);
      assert.ok(verdicts[0].requests.canary > 4000);
    }
  }
});

// The own store knows no start times of what a Prometheus writes to it, and gets each bucket of a histogram as a series of its own.
test('what remote write brought is judged', { timeout: 120_000 }, async (t) => {
  for (const judge of ['threshold', 'sequential']) {
    const coalmine = await Coalmine.start(t, { config: `service: checkout\njudge: { method: ${judge} }\nmetrics: { error_rate: +1pp, latency_p99: +30% }\n` });
    for (const [errors, exit] of [[0.12, 1], [0.004, 0]]) {
      const service = exit === 1 ? 'checkout' : 'cart';
      const series = release(Date.now(), errors).map(({ labels, samples }) => ({ samples, labels: { ...labels, service_name: service,
        __name__: labels.__name__.replace('request_duration', 'request_duration_milliseconds') } }));
      // Only the histogram, as the semantic conventions have it: its counts are the requests.
      await remoteWriteAll(coalmine.url, series.filter(({ labels }) => exit === 1 || !labels.__name__.endsWith('_total')));
      const { code, out, err } = await run(['analyze', service, '--server', coalmine.url, '--window', '14m', '-o', 'json']);
      assert.equal(code, exit, `${judge}, ${service}: ${out} ${err}`);
      assert.ok(JSON.parse(out).requests.canary > 4000, out);
      assert.ok(JSON.parse(out).metrics.some((m) => m.name.includes('p99') && m.stable !== null), out);
    }
  }
});

test('forms of a verdict, and what is not there', async (t) => {
  const dir = scratch(t);
  const now = Date.now();
  const file = path.join(dir, 'release.om');
  fs.writeFileSync(file, recording(release(now, 0.3)));
  const junit = await run(['analyze', 'checkout', '--source', file, '--window', '14m', '-o', 'junit']);
  assert.equal(junit.code, 1);
  assert.match(junit.out, /<testsuite name="checkout" tests="\d+" failures="[1-9]/);
  const summary = path.join(dir, 'summary.md');
  const output = path.join(dir, 'output');
  const github = await run(['analyze', 'checkout', '--source', file, '--window', '14m', '-o', 'json'],
    { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary, GITHUB_OUTPUT: output });
  assert.equal(JSON.parse(github.out).decision, 'rollback');
  assert.match(github.err, /^::error title=Canary failed::/m);
  assert.match(fs.readFileSync(summary, 'utf8'), /\| error_rate/);
  assert.equal(fs.readFileSync(output, 'utf8'), 'decision=rollback\n');
  assert.equal((await run(['analyze', 'cart', '--source', file])).code, 4);
  assert.equal((await run(['analyze', 'checkout', '--source', path.join(dir, 'missing.om')])).code, 2);
  const [port] = await freePorts(1);
  const gone = await run(['analyze', 'checkout', '--source', `http://127.0.0.1:${port}`]);
  assert.equal(gone.code, 5, gone.out + gone.err);
  const replay = await run(['replay', 'checkout', '--source', file, '--from', '20m', '--runs', '2', '-o', 'json']);
  assert.equal(replay.code, 0, replay.err);
  const { releases, rates, by_process } = JSON.parse(replay.out);
  assert.equal(releases.length, 1);
  assert.equal(releases[0].version, '2.4.0');
  assert.equal(releases[0].outcomes['this config'].end, 'rolled back');
  assert.deepEqual([rates, by_process], [[], { unknown: 'too_little_data' }]);
  const config = path.join(dir, 'checkout.yaml');
  fs.writeFileSync(config, 'service: checkout\n');
  const check = await run(['check', config, '--source', file, '--runs', '2']);
  assert.equal(check.code, 0, check.err);
  assert.match(check.out, /checkout on its own traffic in .*\nNo rates: stable's telemetry does not cover one rollout/);
  const away = await run(['check', config, '--source', `http://127.0.0.1:${port}`, '-o', 'json']);
  assert.equal(away.code, 5, away.out + away.err);
  assert.equal(JSON.parse(away.out).on_stable[0].service, 'checkout');
  assert.ok(JSON.parse(away.out).on_stable[0].unknown);
});
