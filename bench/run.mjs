// ./dev bench [ingest] [query] [delay] [store] [judge] [looks] [soak [MINUTES]]: measures the release binary as a whole process and prints Markdown tables.
// CPU time is the server's own (user and system, /proc/PID/stat), so the load generator on the same cores does not count.
// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import grpc from '@grpc/grpc-js';
import { binary, Coalmine, freePorts, start, until } from '../tests/e2e/harness.mjs';
import { metrics, spans } from '../tests/e2e/otlp.mjs';
import { beside } from './beside.mjs';
import { firstUse } from './first-use.mjs';
import { looks } from './looks.mjs';
import { query } from './query.mjs';
import { soak } from './soak.mjs';
import { store } from './store.mjs';

const ticks = Number(execFileSync('getconf', ['CLK_TCK']));
function cpuSeconds(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}
// node:test's context, as far as the harness needs it.
class Scope {
  #ends = [];
  after(f) { this.#ends.push(f); }
  async close() { for (const f of this.#ends.reverse()) await f(); }
}
async function scoped(body) {
  const scope = new Scope();
  try {
    return await body(scope);
  } finally {
    await scope.close();
  }
}
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);
const table = (...head) => { row(...head); row(...head.map(() => '---')); };
const thousands = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : `${(n / 1e3).toFixed(0)} k`);

const agent = new http.Agent({ keepAlive: true });
const post = (port, where, body, gzip) => new Promise((resolve, reject) => {
  const request = http.request({ port, host: '127.0.0.1', path: where, method: 'POST', agent, headers: {
    'content-type': 'application/x-protobuf', 'content-length': body.length, ...(gzip ? { 'content-encoding': 'gzip' } : {}) } }, (response) => {
    response.resume().on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${response.statusCode}`))));
  });
  request.on('error', reject).end(body);
});
const services = { traces: 'trace.v1.TraceService', metrics: 'metrics.v1.MetricsService' };
function grpcSender(port, gzip) {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    'grpc.default_compression_algorithm': gzip ? grpc.compressionAlgorithms.gzip : grpc.compressionAlgorithms.identity,
  });
  return (signal, body) => new Promise((resolve, reject) => {
    client.makeUnaryRequest(`/opentelemetry.proto.collector.${services[signal]}/Export`, (b) => b, (b) => b, body, (error) => (error ? reject(error) : resolve()));
  });
}

// Sends every payload once, four at a time; the items a second of the server's CPU.
async function pump(coalmine, payloads, send, itemsEach) {
  const before = cpuSeconds(coalmine.child.pid);
  const started = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => { while (next < payloads.length) await send(payloads[next++]); }));
  const wall = (performance.now() - started) / 1000;
  const items = payloads.length * itemsEach;
  return { perCpu: items / (cpuSeconds(coalmine.child.pid) - before), perWall: items / wall };
}

async function ingest() {
  console.log('\n## Ingest, durable, a request is acknowledged when it survives kill -9\n');
  table('what', 'transport', 'per CPU second', 'per second seen (client on the same cores)');
  const requests = 300;
  const kinds = {
    traces: { unit: 'spans', items: 500, make: (n, now) => spans(500, n + 1, now) },
    metrics: { unit: 'points (60 a request)', items: 60, make: (n, now, begin) => metrics(n % 2 ? 'canary' : 'stable', n % 10, 20, n * 100, begin + n * 50, begin - 1000) },
  };
  for (const [signal, kind] of Object.entries(kinds)) {
    for (const [transport, gzip] of [['HTTP', false], ['HTTP', true], ['gRPC', false], ['gRPC', true]]) {
      const result = await scoped(async (t) => {
        const coalmine = await Coalmine.start(t);
        const now = Date.now();
        const count = signal === 'metrics' ? requests * 5 : requests;
        const payloads = Array.from({ length: count }, (_, n) => kind.make(n, now, now - count * 50));
        const send = grpcSender(coalmine.grpc, gzip);
        const zipped = gzip && transport === 'HTTP' ? payloads.map((p) => zlib.gzipSync(p)) : payloads;
        return pump(coalmine, zipped, transport === 'HTTP' ? (p) => post(coalmine.http, `/v1/${signal}`, p, gzip) : (p) => send(signal, p), kind.items);
      });
      row(kind.unit, transport + (gzip ? ' gzip' : ''), thousands(result.perCpu), thousands(result.perWall));
    }
  }
}

const admin = (socket, line) => new Promise((resolve, reject) => {
  const client = net.connect(socket, () => client.write(`${line}\n`));
  let text = '';
  client.on('data', (d) => (text += d)).on('error', reject).on('close', () => resolve(text));
});

// From the acknowledgement of the failing points to weight 0 read out of HAProxy by us.
async function delay() {
  console.log('\n## From telemetry to weight 0: failing points acknowledged until HAProxy says weight 0\n');
  table('look interval', 'runs', 'median ms', 'max ms');
  for (const interval of ['200ms', '1s', '5s']) {
    const times = await scoped(async (t) => {
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-bench-'));
      t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
      const socket = path.join(dir, 'haproxy.sock');
      const [front, a, b] = await freePorts(3);
      fs.writeFileSync(path.join(dir, 'haproxy.cfg'), `global\n  stats socket ${socket} mode 600 level admin\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\nfrontend f\n  bind 127.0.0.1:${front}\n  default_backend shop\nbackend shop\n  server stable1 127.0.0.1:${a} weight 19\n  server canary1 127.0.0.1:${b} weight 0\n`);
      start(t, '/usr/sbin/haproxy', ['-db', '-f', path.join(dir, 'haproxy.cfg')]);
      await until('HAProxy', () => admin(socket, 'show info'));
      const coalmine = await Coalmine.start(t, { config: `service: checkout-service\nsteps: [5% 10m, 100%]\ninterval: ${interval}\nanalysis: { analysis_window: 10m }\nrouter:\n  haproxy: { socket: ${socket}, backend: shop, stable: stable1, canary: canary1 }\n` });
      const found = [];
      const began = Date.now() - 1000;
      for (let run = 0; run < (interval === '5s' ? 5 : 20); run += 1) {
        const version = `2.4.${run}`;
        const point = (track, v, total, errors, at, startAt) => JSON.stringify({ resourceMetrics: [{ resource: { attributes:
          [['service.name', 'checkout-service'], ['service.version', v], ['deployment.track', track], ['service.instance.id', `${track}-${v}`]].map(([key, stringValue]) => ({ key, value: { stringValue } })) },
        scopeMetrics: [{ metrics: [['http_server_request_total', total], ['http_server_request_errors_total', errors]].map(([name, value]) => ({ name, sum: {
          isMonotonic: true, aggregationTemporality: 2, dataPoints: [{ asDouble: value, timeUnixNano: `${at}000000`, startTimeUnixNano: `${startAt}000000` }] } })) }] }] });
        const feed = async (...p) => {
          const r = await fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: point(...p) });
          if (r.status !== 200) throw new Error(`HTTP ${r.status}`);
        };
        // Stable is there before; the canary's process is new.
        await feed('stable', '2.3.0', 19000 * run, 0, Date.now(), began);
        const { id } = await coalmine.post('/v1/rollouts', { service: 'checkout-service', canary_version: version, stable_version: '2.3.0' });
        await until('5 %', async () => (await coalmine.get(`/v1/rollouts/${id}`)).steps[0].started_ms > 0);
        const now = Date.now();
        await feed('stable', '2.3.0', 19000 * (run + 1), 0, now + 2, began);
        await feed('canary', version, 1000, 500, now + 2, now);
        const acknowledged = performance.now();
        while (!(await admin(socket, 'get weight shop/canary1')).startsWith('0 ')) {
          if (performance.now() - acknowledged > 30_000) throw new Error('no rollback within 30 s');
        }
        found.push(performance.now() - acknowledged);
        await until('the end', async () => (await coalmine.get(`/v1/rollouts/${id}`)).terminal);
      }
      return found;
    });
    row(interval, times.length, median(times).toFixed(0), Math.max(...times).toFixed(0));
  }
}

// What the judges decide about releases whose truth is known; the same seed gives the same tables.
function judge() {
  for (const which of ['reference', 'exports', 'defaults', 'latency', 'hard']) {
    execFileSync(binary, ['simulate', '--table', which, '--runs', process.env.COALMINE_BENCH_RUNS ?? (which === 'hard' ? '1000' : '2000'), '--seed', '1'], { stdio: ['ignore', 'inherit', 'inherit'] });
  }
}

const chosen = process.argv.slice(2);
const minutes = /^\d+$/.test(chosen.at(-1) ?? '') && chosen.at(-2) === 'soak' ? Number(chosen.pop()) : 4;
const all = { looks: () => looks(scoped), ingest, query: () => query(scoped), delay, store: () => store(scoped), judge, soak: () => soak(scoped, minutes) };
const usual = Object.keys(all);
all['first-use'] = () => firstUse(scoped); // half an hour, only when named
const other = chosen[0] === '--beside' ? chosen.splice(0, 2)[1] : undefined;
for (const name of chosen) if (!all[name]) throw new Error(`no benchmark is called '${name}': ${Object.keys(all).join(' ')}`);
console.log(`Machine: ${os.cpus().length} x ${os.cpus()[0].model}, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, ${os.release()}; load ${os.loadavg()[0].toFixed(1)} at the start`);
if (other) await beside(scoped, other, chosen);
else for (const name of chosen.length ? chosen : usual) await all[name]();
process.exit(0);
