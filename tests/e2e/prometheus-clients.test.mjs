// What Prometheus's clients ask of it, asked of coalmine: Grafana's data source, Flagger, Argo Rollouts, Kayenta, and Prometheus itself as a sender.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import http from 'node:http';
import { Coalmine, until } from './harness.mjs';
import { Prometheus, ask, prometheusVersion } from './prometheus.mjs';
import { remoteWrite, remoteWriteAll, snappy, staleMarker } from './remote-write.mjs';

const now = () => Math.floor(Date.now() / 1000) * 1000;

async function get(url) {
  const answer = await fetch(url);
  return { status: answer.status, body: await answer.json() };
}

async function filled(t) {
  const server = await Coalmine.start(t);
  const end = now() - 1000;
  const times = Array.from({ length: 41 }, (_, i) => end - (40 - i) * 15_000);
  const series = [];
  for (const pod of ['a', 'b']) {
    for (const [status, rate] of [['200', 10], ['500', 1]]) {
      series.push({ labels: { __name__: 'http_requests_total', pod, status, job: 'shop' }, samples: times.map((ms, i) => [ms, i * rate]) });
    }
    for (const [le, share] of [['0.1', 5], ['1', 9], ['+Inf', 10]]) {
      series.push({ labels: { __name__: 'request_duration_seconds_bucket', pod, le, job: 'shop' }, samples: times.map((ms, i) => [ms, i * share]) });
    }
  }
  series.push({ labels: { __name__: 'with.dots', 'http.route': '/x' }, samples: times.map((ms) => [ms, 1]) });
  await remoteWriteAll(server.url, series);
  return { server, url: server.url, end: end / 1000 };
}

test('Grafana: save and test, the editor, Explore', async (t) => {
  const { url, end } = await filled(t);
  // Save & test: a scalar, by form; then which product and version this is.
  const check = await ask(url, '1+1', { time: end });
  assert.deepEqual([check.status, check.data.resultType, check.data.result[1]], ['success', 'scalar', '2']);
  const build = await get(`${url}/api/v1/status/buildinfo`);
  assert.match(build.body.data.version, /^\d+\.\d+\.\d+/);
  assert.equal(build.body.data.features, undefined);
  // The editor.
  const names = await get(`${url}/api/v1/label/__name__/values?start=${end - 3600}&end=${end}&limit=40000`);
  assert.deepEqual(names.body.data, ['http_requests_total', 'request_duration_seconds_bucket', 'with.dots']);
  const few = await get(`${url}/api/v1/label/__name__/values?limit=1`);
  assert.deepEqual([few.body.data.length, few.body.warnings], [1, ['results truncated due to limit']]);
  const form = { method: 'POST', body: new URLSearchParams({ 'match[]': 'http_requests_total', start: end - 3600, end }) };
  const labels = await (await fetch(`${url}/api/v1/labels`, form)).json();
  assert.deepEqual(labels.data, ['__name__', 'job', 'pod', 'status']);
  const series = await (await fetch(`${url}/api/v1/series`, form)).json();
  assert.equal(series.data.length, 4);
  const values = await get(`${url}/api/v1/label/pod/values?match[]=${encodeURIComponent('http_requests_total{status="500"}')}`);
  assert.deepEqual(values.body.data, ['a', 'b']);
  const escaped = await get(`${url}/api/v1/label/U__http_2e_route/values`);
  assert.deepEqual(escaped.body.data, ['/x']);
  assert.equal((await get(`${url}/api/v1/metadata?limit=10`)).body.status, 'success');
  // Explore: times and steps as fractions, exemplars, rules.
  const range = await ask(url, 'sum by (status) (rate(http_requests_total[1m]))', { start: end - 300.5, end: end - 0.25, step: 15.5 });
  assert.deepEqual(range.data.result.map((s) => s.metric), [{ status: '200' }, { status: '500' }]);
  assert.deepEqual((await get(`${url}/api/v1/query_exemplars?query=up&start=${end - 60}&end=${end}`)).body, { status: 'success', data: [] });
  assert.deepEqual((await get(`${url}/api/v1/rules`)).body.data, { groups: [] });
  assert.deepEqual((await get(`${url}/api/v1/alerts`)).body.data, { alerts: [] });
  const tree = await get(`${url}/api/v1/parse_query?query=${encodeURIComponent('sum by (a) (rate(x{b="c"}[5m] offset 1m)) > bool 2')}`);
  assert.equal(tree.body.data.type, 'binaryExpr');
  assert.deepEqual(tree.body.data.lhs.grouping, ['a']);
  assert.deepEqual(tree.body.data.lhs.expr.args[0].matchers, [{ name: 'b', value: 'c', type: '=' }, { name: '__name__', value: 'x', type: '=' }]);
  assert.deepEqual([tree.body.data.lhs.expr.args[0].range, tree.body.data.lhs.expr.args[0].offset], [300000, 60000]);
  const format = await get(`${url}/api/v1/format_query?query=${encodeURIComponent('sum(x)by(a)')}`);
  assert.equal(format.body.data, 'sum by (a) (x)');
});

test('answers: gzip, infos, errors and their codes', async (t) => {
  const { url, end } = await filled(t);
  const zipped = await new Promise((resolve, reject) => {
    http.get(`${url}/api/v1/query_range?query=http_requests_total&start=${end - 600}&end=${end}&step=5`, { headers: { 'Accept-Encoding': 'gzip' } }, (answer) => {
      const parts = [];
      answer.on('data', (d) => parts.push(d)).on('end', () => resolve({ coding: answer.headers['content-encoding'], body: Buffer.concat(parts) }));
    }).on('error', reject);
  });
  assert.equal(zipped.coding, 'gzip');
  assert.equal(JSON.parse(gunzipSync(zipped.body)).data.result.length, 4);
  const infos = await ask(url, 'rate(with.dots[1m])'.replace('with.dots', '{"with.dots"}'), { time: end });
  assert.match(infos.infos[0], /^PromQL info: metric might not be a counter/);
  const bad = [
    [`query=${encodeURIComponent('sum(')}`, 400, 'bad_data', /^invalid parameter "query": 1:5: parse error: unclosed left parenthesis/],
    ['query=', 400, 'bad_data', /no expression found in input/],
    ['query=up&time=soon', 400, 'bad_data', /invalid parameter "time"/],
    ['query=up&limit=-1', 400, 'bad_data', /limit must be non-negative/],
    [`query=${encodeURIComponent('http_requests_total * on(job) http_requests_total')}&time=${end}`, 422, 'execution', /many-to-many matching not allowed/],
    ['query=up&timeout=0', 503, 'timeout', /timed out/],
  ];
  for (const [query, status, type, message] of bad) {
    const answer = await get(`${url}/api/v1/query?${query}`);
    assert.deepEqual([answer.status, answer.body.status, answer.body.errorType], [status, 'error', type], query);
    assert.match(answer.body.error, message);
  }
  const steps = await get(`${url}/api/v1/query_range?query=up&start=0&end=100000&step=1`);
  assert.match(steps.body.error, /^exceeded maximum resolution of 11,000 points per timeseries/);
  assert.equal((await get(`${url}/api/v1/nothing`)).status, 404);
});

test('Flagger', async (t) => {
  const { url } = await filled(t);
  const one = await get(`${url}/api/v1/query?query=${encodeURIComponent('vector(1)')}`);
  assert.equal(one.body.data.result.at(-1).value[1], '1');
  const success = 'sum(rate(http_requests_total{job=~"shop",status!~"5.*"}[1m])) / sum(rate(http_requests_total{job=~"shop"}[1m])) * 100';
  const rate = await get(`${url}/api/v1/query?query=${encodeURIComponent(success)}`);
  assert.ok(Math.abs(Number(rate.body.data.result[0].value[1]) - 1000 / 11) < 1e-9);
  const p99 = await get(`${url}/api/v1/query?query=${encodeURIComponent('histogram_quantile(0.99, sum(rate(request_duration_seconds_bucket{job="shop"}[1m])) by (le))')}`);
  assert.equal(p99.body.data.result[0].value[1], '1');
  assert.deepEqual((await get(`${url}/api/v1/query?query=nothing_here`)).body.data.result, []);
});

test('Argo Rollouts and Kayenta', async (t) => {
  const { url, end } = await filled(t);
  const vector = await ask(url, 'sum(http_requests_total) by (status)', { time: String(end), timeout: '30s' });
  assert.equal(vector.data.result[0].value.length, 2);
  const matrix = await ask(url, 'sum(http_requests_total)', { start: end - 120, end, step: 60 });
  assert.equal(matrix.data.result[0].values.length, 3);
  const iso = (seconds) => encodeURIComponent(new Date(seconds * 1000).toISOString());
  const kayenta = await get(`${url}/api/v1/query_range?query=${encodeURIComponent('avg(http_requests_total{status="200"}) by (pod)')}&start=${iso(end - 300)}&end=${iso(end)}&step=60`);
  assert.equal(kayenta.body.data.result.length, 2);
  const healthy = await fetch(`${url}/-/healthy`);
  assert.match(await healthy.text(), /Prometheus Server is Healthy/);
  assert.equal((await fetch(`${url}/-/ready`)).status, 200);
});

test('remote write: what is kept, what is refused', async (t) => {
  const server = await Coalmine.start(t);
  const end = now() - 1000;
  const labels = { __name__: 'sent_total', job: 'x' };
  const sent = await remoteWrite(server.url, [{ labels, samples: [[end - 30_000, 1], [end - 15_000, 2]], exemplars: [end] }]);
  assert.deepEqual(sent, { status: 204, text: '' });
  // Late, but not too late: kept. Much too late: refused for good, and the rest of the request kept.
  assert.equal((await remoteWrite(server.url, [{ labels, samples: [[end - 45_000, 0.5]] }])).status, 204);
  const old = await remoteWrite(server.url, [{ labels, samples: [[end - 86_400_000, 1], [end - 5_000, 3]] }]);
  assert.equal(old.status, 400);
  assert.match(old.text, /^1 of 2 samples were rejected/);
  const answer = await ask(server.url, 'sent_total[2m]', { time: end / 1000 });
  assert.deepEqual(answer.data.result[0].values.map(([, v]) => v), ['0.5', '1', '2', '3']);
  await remoteWrite(server.url, [{ labels, samples: [[end - 1_000, staleMarker]] }]);
  assert.deepEqual((await ask(server.url, 'sent_total', { time: end / 1000 })).data.result, []);
  const wrong = [
    [{ 'Content-Type': 'application/json' }, snappy(Buffer.alloc(0)), 415],
    [{ 'Content-Type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request' }, snappy(Buffer.alloc(0)), 415],
    [{ 'Content-Type': 'application/x-protobuf' }, Buffer.from('no snappy at all'), 400],
    [{ 'Content-Type': 'application/x-protobuf' }, snappy(Buffer.from([0x0a, 0xff, 1])), 400],
    [{ 'Content-Type': 'application/x-protobuf' }, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), 413],
    [{ 'Content-Type': 'application/x-protobuf', Origin: 'http://evil.example' }, snappy(Buffer.alloc(0)), 403],
  ];
  for (const [headers, body, status] of wrong) {
    const refused = await fetch(`${server.url}/api/v1/write`, { method: 'POST', headers, body });
    assert.equal(refused.status, status, await refused.text());
  }
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /coalmine_remote_write_samples_total 5/);
  assert.match(metrics, /coalmine_remote_write_exemplars_dropped_total 1/);
});

test('a Prometheus that scrapes coalmine and writes to it', { skip: prometheusVersion() ? false : 'prometheus is not installed' }, async (t) => {
  const server = await Coalmine.start(t);
  await Prometheus.start(t, `
global: { scrape_interval: 1s }
scrape_configs:
  - { job_name: coalmine, static_configs: [{ targets: ['127.0.0.1:${server.api}'], labels: { service_name: shop } }] }
remote_write:
  - { url: '${server.url}/api/v1/write', queue_config: { batch_send_deadline: 1s } }
`);
  const up = await until('samples to arrive', async () => {
    const answer = await ask(server.url, 'count_over_time(up{job="coalmine"}[1m])', {});
    return Number(answer.data.result[0]?.value[1] ?? 0) >= 3 && answer.data.result[0];
  }, 40);
  assert.deepEqual(up.metric, { instance: `127.0.0.1:${server.api}`, job: 'coalmine', service_name: 'shop' });
  const rate = await ask(server.url, 'rate(coalmine_remote_write_requests_total{code="204"}[30s]) > 0', {});
  assert.equal(rate.data.result.length, 1);
  const services = await (await fetch(`${server.url}/v1/services`)).json();
  assert.ok(services.services.some((s) => s.service === 'shop'), JSON.stringify(services));
});

test('a query whose client is gone is given up', async (t) => {
  const { server, url, end } = await filled(t);
  // Some 10,000 steps, each with the median of 3,600 values for 4 series, six times over.
  const median = `quantile_over_time(0.5, (http_requests_total @ ${end})[1h:1s])`;
  const heavy = new URLSearchParams({ query: Array(6).fill(median).join(' + '), start: end - 10_000, end, step: 1, timeout: '25s' });
  const count = async (code) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`coalmine_queries_total\\{code="${code}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  const begun = performance.now();
  const controller = new AbortController();
  const waiting = fetch(`${url}/api/v1/query_range`, { method: 'POST', body: heavy, signal: controller.signal });
  setTimeout(() => controller.abort(), 300);
  await assert.rejects(waiting, { name: 'AbortError' });
  await until('the query to be given up', async () => (await count(499)) === 1, 15);
  assert.ok(performance.now() - begun < 15_000);
  assert.ok(server);
});
