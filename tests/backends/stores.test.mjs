// The same telemetry in coalmine's own store (by OTLP, and by remote write), in Prometheus 3, VictoriaMetrics and Thanos: one verdict.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Coalmine, binary, scratch } from '../e2e/harness.mjs';
import { remoteWriteAll } from '../e2e/remote-write.mjs';
import { everything, present, prometheus, send, thanosQuery, victoriaMetrics } from './servers.mjs';
import { exponentialScale, exports, formNames, outcomes, serviceName } from './telemetry.mjs';

const services = formNames.flatMap((form) => Object.keys(outcomes).map((outcome) => [form, outcome, serviceName(form, outcome)]));
const config = (judge) => `services:\n${services.map(([, , name]) => `  - { service: ${name}, judge: { method: ${judge} } }`).join('\n')}\n`;

async function analyze(service, ...args) {
  const child = spawn(binary, ['analyze', service, '--window', '14m', '-o', 'json', ...args], { env: { ...process.env, GITHUB_ACTIONS: '' } });
  let out = '';
  let err = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  await new Promise((resolve) => child.once('exit', resolve));
  try {
    return JSON.parse(out);
  } catch {
    throw new Error(`${service} ${args.join(' ')}: ${out} ${err}`);
  }
}

// Asks about every service and compares decision and counts with what was sent.
// Our own server judges the window until now, of which the telemetry misses the last part.
async function verdicts(t, where, judge, args, end = undefined) {
  const wrong = [];
  for (const [, outcome, service] of services) {
    const verdict = await analyze(service, ...args);
    const want = outcome === 'good' ? /promote/ : /rollback/;
    const { canary, stable } = verdict.requests ?? {};
    // 14 minutes of 12 and of 100 requests a second, less the exports that are not complete on both tracks.
    const seconds = 14 * 60 - (end ? (Date.now() - end) / 1000 : 0);
    const near = (count, perSecond) => count > 0.9 * seconds * perSecond && count <= 14 * 60 * perSecond;
    const counted = near(canary, 12) && near(stable, 100);
    if (!want.test(verdict.decision) || !counted) wrong.push(`${where}, ${judge}, ${service}: ${verdict.decision}, canary ${canary}, stable ${stable}: ${verdict.reason}`);
  }
  t.diagnostic(`${where}, ${judge}: ${services.length - wrong.length} of ${services.length} as expected`);
  return wrong;
}

const judges = ['threshold', 'sequential'];
const missing = ['prometheus', 'victoria-metrics', 'thanos'].filter((name) => !present(name));

test('one verdict from every store', { timeout: 900_000 }, async (t) => {
  assert.ok(present('prometheus'), 'tools/get_backends.sh builds it');
  const end = Date.now() - 5_000;
  const own = Object.fromEntries(await Promise.all(judges.map(async (judge) => [judge, await Coalmine.start(t, { config: config(judge) })])));
  const written = Object.fromEntries(await Promise.all(judges.map(async (judge) => [judge, await Coalmine.start(t, { config: config(judge) })])));
  const first = await prometheus(t, { replica: 'a' });
  const second = await prometheus(t, { replica: 'b' });
  const stores = {
    'prometheus': first,
    'prometheus with UTF-8 names': await prometheus(t, { strategy: 'NoUTF8EscapingWithSuffixes' }),
    'prometheus without translation': await prometheus(t, { strategy: 'NoTranslation' }),
    'prometheus without suffixes': await prometheus(t, { strategy: 'UnderscoreEscapingWithoutSuffixes' }),
  };
  if (present('victoria-metrics')) {
    stores.victoriametrics = await victoriaMetrics(t);
    stores['victoriametrics with prometheus names'] = await victoriaMetrics(t, ['-opentelemetry.usePrometheusNaming']);
  }
  const targets = [...judges.map((judge) => `http://127.0.0.1:${own[judge].http}/v1/metrics`), second.otlp, ...Object.values(stores).map((s) => s.otlp)];
  for (const [, body] of exports(end)) await Promise.all(targets.map((url) => send(url, body)));
  await Promise.all(Object.values(stores).map((s) => s.flush?.()));
  if (present('thanos')) stores['thanos over two replicas'] = await thanosQuery(t, [first, second]);
  const series = await everything(first, end, exponentialScale);
  for (const judge of judges) await remoteWriteAll(written[judge].url, series);
  // Two servers that collected the same processes, at almost the same moments.
  const late = (points) => points.map(([ms, value]) => [ms + 300, value]);
  stores['prometheus with two replicas'] = await prometheus(t);
  for (const [replica, shift] of [['a', (points) => points], ['b', late]]) {
    await remoteWriteAll(stores['prometheus with two replicas'].url, series.map(({ labels, samples, histograms }) =>
      ({ labels: { ...labels, replica }, samples: shift(samples), histograms: shift(histograms) })));
  }

  const dir = scratch(t);
  const wrong = [];
  for (const judge of judges) {
    const file = path.join(dir, `${judge}.yaml`);
    fs.writeFileSync(file, config(judge));
    wrong.push(...await verdicts(t, 'own store, OTLP', judge, ['--server', own[judge].url], end));
    wrong.push(...await verdicts(t, 'own store, remote write', judge, ['--server', written[judge].url], end));
    for (const [where, { url }] of Object.entries(stores)) {
      wrong.push(...await verdicts(t, where, judge, ['--source', url, '-c', file, '--at', String(end / 1000)]));
    }
  }
  assert.deepEqual(wrong, [], wrong.join('\n'));
  if (missing.length > 0) t.diagnostic(`not built: ${missing.join(', ')}`);
});
