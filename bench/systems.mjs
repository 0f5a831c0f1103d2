// What the benchmarks share: the seed's shape of metrics in OTLP and in remote write, and the servers that take it.
// A presented sample is what PromQL sees: a classic histogram of 20 buckets presents 22 of them (its count and sum).
// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { Coalmine, freePorts, start, stop, until } from '../tests/e2e/harness.mjs';
import { attribute, bytes, double, fixed64, message, text, uint } from '../tests/e2e/otlp.mjs';

const bounds = Array.from({ length: 19 }, (_, i) => Math.round(5 * 1.45 ** i));
export const perGroup = 2 + bounds.length + 1 + 2; // requests, errors, buckets with +Inf, sum, count
export const stepMs = 15_000;

// The numbers that both encodings send: what instance i, route r has counted after export e.
export function makeCounts(groups) {
  const state = { requests: new Float64Array(groups), errors: new Float64Array(groups), sums: new Float64Array(groups),
    buckets: new Float64Array(groups * (bounds.length + 1)) };
  let seed = 1;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  return { state, advance() {
    for (let g = 0; g < groups; g += 1) {
      let total = 0;
      for (let b = 0; b <= bounds.length; b += 1) {
        const more = b < 12 ? random(9) : random(60) === 0 ? 1 : 0;
        state.buckets[g * (bounds.length + 1) + b] += more;
        state.sums[g] += more * (bounds[Math.min(b, bounds.length - 1)] * 0.8 + random(1000) / 1000);
        total += more;
      }
      state.requests[g] += total;
      if (random(10) === 0) state.errors[g] += 1;
    }
  } };
}
const identity = (i, services = 1) => ({ 'service.name': services > 1 ? `service-${i % services}` : 'checkout-service', 'service.version': i % 10 ? '2.3.0' : '2.4.0', 'deployment.track': i % 10 ? 'stable' : 'canary',
  'deployment.environment': 'production', 'service.instance.id': `checkout-${i}` });

// OTLP payloads, made once and patched for every export: all that changes has a fixed size. A request holds as many samples as one of
// the others' by remote write, as a Collector in between would put them together.
const samplesARequest = 2000;
class OtlpFeed {
  constructor(instances, routes, services) {
    const marks = { start: 0xa5a5a5a5a5a5a5a5n, time: 0xb6b6b6b6b6b6b6b6n, value: 0xc7c7c7c7c7c7c7c7n };
    const filled = (n) => Buffer.alloc(8 * n, 0xc7);
    const raw = (field) => fixed64(field, marks.value);
    const times = [fixed64(2, marks.start), fixed64(3, marks.time)];
    this.routes = routes;
    const together = Math.max(1, Math.floor(samplesARequest / (routes * perGroup)));
    const ofInstance = (i) => {
      const each = (make) => Array.from({ length: routes }, (_unused, r) => make(attribute(7, 'http.route', `/api/v1/route-${r}`)));
      const sum = (name) => message(2, text(1, name), message(7, ...each((route) => message(1, ...times, raw(4), route)), uint(2, 2), uint(3, 1)));
      const packedBounds = Buffer.concat(bounds.map((b) => double(1, b).subarray(1)));
      const histogram = message(2, text(1, 'http_server_request_duration'), message(9, ...Array.from({ length: routes }, (_unused, r) =>
        message(1, ...times, raw(4), raw(5), bytes(6, filled(bounds.length + 1)), bytes(7, packedBounds), attribute(9, 'http.route', `/api/v1/route-${r}`))), uint(2, 2)));
      return message(1, message(1, ...Object.entries(identity(i, services)).map(([k, v]) => attribute(1, k, v))),
        message(2, message(1, text(1, 'bench')), sum('http_server_request_total'), sum('http_server_request_errors_total'), histogram));
    };
    this.payloads = [];
    for (let first = 0; first < instances; first += together) {
      const members = Array.from({ length: Math.min(together, instances - first) }, (_, n) => first + n);
      const body = Buffer.concat(members.map(ofInstance));
      const find = (byte) => {
        const at = [];
        for (let p = body.indexOf(Buffer.alloc(8, byte)); p >= 0; p = body.indexOf(Buffer.alloc(8, byte), p + 8)) at.push(p);
        return at;
      };
      this.payloads.push({ members, body, start: find(0xa5), time: find(0xb6), value: find(0xc7) });
    }
  }
  requests(counts, startMs, timeMs) {
    const { state } = counts;
    const width = bounds.length + 1;
    return this.payloads.map((p) => {
      for (const at of p.start) p.body.writeBigUInt64LE(BigInt(startMs) * 1_000_000n, at);
      for (const at of p.time) p.body.writeBigUInt64LE(BigInt(timeMs) * 1_000_000n, at);
      let k = 0;
      for (const i of p.members) {
        const groups = Array.from({ length: this.routes }, (_, r) => i * this.routes + r);
        for (const g of groups) p.body.writeDoubleLE(state.requests[g], p.value[k++]);
        for (const g of groups) p.body.writeDoubleLE(state.errors[g], p.value[k++]);
        for (const g of groups) {
          p.body.writeBigUInt64LE(BigInt(state.requests[g]), p.value[k++]);
          p.body.writeDoubleLE(state.sums[g], p.value[k++]);
          for (let b = 0; b < width; b += 1) p.body.writeBigUInt64LE(BigInt(state.buckets[g * width + b]), p.value[k++]);
        }
      }
      return Buffer.from(p.body);
    });
  }
}

// Snappy's block format with literals only: what the server has to undo is the least there is.
function snappy(data) {
  const head = [];
  for (let n = data.length; ; n = Math.floor(n / 128)) {
    if (n < 128) { head.push(n); break; }
    head.push((n % 128) + 128);
  }
  const parts = [Buffer.from(head)];
  for (let at = 0; at < data.length; at += 65536) {
    const piece = data.subarray(at, at + 65536);
    parts.push(Buffer.from([0xf4, (piece.length - 1) & 255, (piece.length - 1) >> 8]), piece);
  }
  return Buffer.concat(parts);
}

class RemoteWriteFeed {
  constructor(instances, routes) {
    this.series = [];
    const label = (k, v) => message(1, text(1, k), text(2, v));
    for (let i = 0; i < instances; i += 1) {
      const base = Object.entries(identity(i)).map(([k, v]) => [k.replaceAll('.', '_'), v]);
      for (let r = 0; r < routes; r += 1) {
        const add = (name, extra, read) => this.series.push({ read, labels: Buffer.concat([...base, ['http_route', `/api/v1/route-${r}`], ['__name__', name], ...extra]
          .sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([k, v]) => label(k, v))) });
        const g = i * routes + r;
        const width = bounds.length + 1;
        add('http_server_request_total', [], (s) => s.requests[g]);
        add('http_server_request_errors_total', [], (s) => s.errors[g]);
        add('http_server_request_duration_sum', [], (s) => s.sums[g]);
        add('http_server_request_duration_count', [], (s) => s.requests[g]);
        for (let b = 0; b < width; b += 1) {
          add('http_server_request_duration_bucket', [['le', b < bounds.length ? String(bounds[b]) : '+Inf']], (s) => {
            let below = 0;
            for (let k = 0; k <= b; k += 1) below += s.buckets[g * width + k];
            return below;
          });
        }
      }
    }
  }
  requests(counts, startMs, timeMs) {
    const out = [];
    const stamp = uint(2, timeMs);
    for (let at = 0; at < this.series.length; at += 2000) {
      out.push(snappy(Buffer.concat(this.series.slice(at, at + 2000).map((s) => message(1, s.labels, message(2, double(1, s.read(counts.state)), stamp))))));
    }
    return out;
  }
  // Everything at once, series by series; states: what was counted after each export.
  * bulk(states, firstMs) {
    const times = states.map((_, e) => uint(2, firstMs + e * stepMs));
    const sample = 9 + times[0].length;
    for (let at = 0; at < this.series.length; at += 500) {
      yield snappy(Buffer.concat(this.series.slice(at, at + 500).map((s) => {
        const samples = Buffer.alloc(states.length * (2 + sample));
        let p = 0;
        for (const [e, state] of states.entries()) {
          p = samples.writeUInt8(0x12, p);
          p = samples.writeUInt8(sample, p);
          p = samples.writeUInt8(0x09, p);
          p = samples.writeDoubleLE(s.read(state), p);
          p += times[e].copy(samples, p);
        }
        return message(1, s.labels, samples);
      })));
    }
  }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
export const post = (port, where, body, headers) => new Promise((resolve, reject) => {
  const request = http.request({ port, host: '127.0.0.1', path: where, method: 'POST', agent, headers: { 'content-length': body.length, ...headers } }, (response) => {
    response.resume().on('end', () => (response.statusCode < 300 ? resolve() : reject(new Error(`HTTP ${response.statusCode} from ${where}`))));
  });
  request.on('error', reject).end(body);
});
const ticks = Number(execFileSync('getconf', ['CLK_TCK']));
export const cpu = (pid) => {
  const f = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(f[11]) + Number(f[12])) / ticks;
};
export const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
// The most that the process has had in memory since resetPeak.
export const peak = (pid) => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
export const resetPeak = (pid) => fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');
export const disk = (dir) => Number(execFileSync('du', ['-sb', dir]).toString().split('\t')[0]);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function pump(bodies, send) {
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => { while (next < bodies.length) await send(bodies[next++]); }));
}

// kept: where under its directory a system keeps samples; the rest of ours is the rollouts' journal and its reserve of 8 MiB.
export const systems = {
  coalmine: { feed: OtlpFeed, kept: 'data/telemetry', begin: async (t, dir) => {
    const server = await Coalmine.start(t, { dir, pollMs: 5 });
    return { pid: server.child.pid, url: server.url, send: (b) => post(server.http, '/v1/metrics', b, { 'content-type': 'application/x-protobuf' }), stop: () => stop(server.child) };
  } },
  prometheus: { feed: RemoteWriteFeed, kept: '.', begin: async (t, dir) => {
    const [port] = await freePorts(1);
    fs.writeFileSync(`${dir}.yml`, 'global: {}\n');
    const child = start(t, 'prometheus', [`--config.file=${dir}.yml`, `--storage.tsdb.path=${dir}`, `--web.listen-address=127.0.0.1:${port}`, '--web.enable-remote-write-receiver']);
    await until('Prometheus', () => fetch(`http://127.0.0.1:${port}/-/ready`).then((r) => r.ok), 120, 5);
    return { pid: child.pid, url: `http://127.0.0.1:${port}`, send: (b) => post(port, '/api/v1/write', b, { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf', 'x-prometheus-remote-write-version': '0.1.0' }), stop: () => stop(child) };
  } },
  'victoria-metrics': { feed: RemoteWriteFeed, kept: '.', begin: async (t, dir) => {
    const [port] = await freePorts(1);
    const child = start(t, 'victoria-metrics', [`-storageDataPath=${dir}`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=1', '-search.disableCache', '-search.latencyOffset=0s']);
    await until('VictoriaMetrics', () => fetch(`http://127.0.0.1:${port}/health`).then((r) => r.ok), 120, 5);
    return { pid: child.pid, url: `http://127.0.0.1:${port}`, form: { nocache: 1 }, send: (b) => post(port, '/api/v1/write', b, { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' }), stop: () => stop(child) };
  } },
};

// COALMINE_BENCH_SYSTEMS=coalmine,prometheus leaves the others out.
export const chosenSystems = (process.env.COALMINE_BENCH_SYSTEMS ?? Object.keys(systems).join(',')).split(',');

export const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);
export const table = (...head) => { row(...head); row(...head.map(() => '---')); };
export const thousands = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : `${(n / 1e3).toFixed(0)} k`);
