// The stores that coalmine reads beside its own, as real servers. tools/get_backends.sh builds them.
// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePorts, scratch, start, until } from '../e2e/harness.mjs';

const cache = process.env.COALMINE_BACKENDS ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'coalmine/backends');
export const program = (name) => path.join(cache, 'bin', name);
export const present = (name) => fs.existsSync(program(name));

async function ready(child, name, url) {
  await until(`${name} to be ready`, async () => {
    if (child.exitCode !== null) throw new Error(`it ended: ${child.output}`);
    return (await fetch(url)).status === 200;
  }, 60);
}

// options: strategy (how OTLP names are translated), replica (an external label).
export async function prometheus(t, { strategy = 'UnderscoreEscapingWithSuffixes', replica } = {}) {
  const dir = scratch(t);
  const [port] = await freePorts(1);
  fs.writeFileSync(path.join(dir, 'prometheus.yml'), [
    ...(replica ? [`global: { external_labels: { replica: ${replica} } }`] : []),
    'storage: { tsdb: { out_of_order_time_window: 1h } }',
    `otlp: { translation_strategy: ${strategy}, promote_resource_attributes: [service.name, service.version, deployment.track] }`,
  ].join('\n'));
  const url = `http://127.0.0.1:${port}`;
  const child = start(t, program('prometheus'), [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`,
    '--web.enable-otlp-receiver', '--web.enable-remote-write-receiver', '--log.level=warn']);
  await ready(child, 'prometheus', `${url}/-/ready`);
  return { url, otlp: `${url}/api/v1/otlp/v1/metrics`, dir, port };
}

export async function victoriaMetrics(t, flags = []) {
  const dir = scratch(t);
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const child = start(t, program('victoria-metrics'), [`-storageDataPath=${dir}/data`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=1d',
    '-search.latencyOffset=1s', '-loggerLevel=WARN', ...flags]);
  await ready(child, 'victoria-metrics', `${url}/health`);
  // What was taken is seen by queries once it is flushed.
  return { url, otlp: `${url}/opentelemetry/v1/metrics`, flush: () => fetch(`${url}/internal/force_flush`) };
}

// A querier over the sidecars of these Prometheus servers, which are not told that they are replicas.
export async function thanosQuery(t, servers) {
  const endpoints = [];
  for (const { url, dir } of servers) {
    const [http, grpc] = await freePorts(2);
    const child = start(t, program('thanos'), ['sidecar', `--prometheus.url=${url}`, `--tsdb.path=${dir}/data`, `--http-address=127.0.0.1:${http}`,
      `--grpc-address=127.0.0.1:${grpc}`, '--log.level=warn']);
    await ready(child, 'the sidecar', `http://127.0.0.1:${http}/-/ready`);
    endpoints.push(`--endpoint=127.0.0.1:${grpc}`);
  }
  const [http, grpc] = await freePorts(2);
  const url = `http://127.0.0.1:${http}`;
  const child = start(t, program('thanos'), ['query', `--http-address=127.0.0.1:${http}`, `--grpc-address=127.0.0.1:${grpc}`, '--log.level=warn', ...endpoints]);
  await ready(child, 'thanos', `${url}/-/ready`);
  await until('thanos to know its stores', async () => {
    const { data } = await (await fetch(`${url}/api/v1/stores`)).json();
    return Object.values(data).flat().filter((s) => s.lastError === null).length === servers.length;
  }, 30);
  return { url };
}

export async function send(url, body) {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-protobuf' }, body });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
}

// Everything that a Prometheus holds, as remoteWriteAll takes it: what it would have written on had it been told to from the start (it sends
// nothing that is older than itself). Native histograms must be of this schema.
export async function everything({ url }, end, schema) {
  const answer = await fetch(`${url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: '{__name__!=""}[1h]', time: end / 1000 }) });
  const { data } = await answer.json();
  const number = (text) => (text.endsWith('Inf') ? Number(text.replace('Inf', 'Infinity')) : Number(text));
  const ms = (seconds) => Math.round(seconds * 1000);
  return data.result.map(({ metric, values = [], histograms = [] }) => ({
    labels: metric,
    samples: values.map(([seconds, value]) => [ms(seconds), number(value)]),
    histograms: histograms.map(([seconds, h]) => [ms(seconds), { schema, sum: number(h.sum),
      buckets: (h.buckets ?? []).map(([, , upper, count]) => [Math.round(Math.log2(number(upper)) * 2 ** schema), Number(count)]) }]),
  }));
}
