// ./dev bench store: what ingest and keeping cost, beside Debian's Prometheus and VictoriaMetrics, which get the same presented samples
// by remote write.
// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { Coalmine, stop } from '../tests/e2e/harness.mjs';
import { spans } from '../tests/e2e/otlp.mjs';
import { chosenSystems, cpu, disk, makeCounts, perGroup, post, pump, row, rss, sleep, stepMs, systems, table, thousands } from './systems.mjs';

export async function oneStore(t, name, instances, routes, exports_, services = 1) {
  const dir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-bench-')), 'data');
  fs.mkdirSync(dir);
  t.after(() => fs.rmSync(path.dirname(dir), { recursive: true, force: true }));
  const system = systems[name];
  const server = await system.begin(t, dir);
  const idle = rss(server.pid);
  const feed = new system.feed(instances, routes, services);
  const counts = makeCounts(instances * routes);
  // Old enough to be put into chunks at once, young enough to be taken.
  const begin = Date.now() - 59 * 60_000;
  const step = Math.min(stepMs, Math.floor((59 * 60_000) / exports_));
  // The first export makes the series; steady state is what comes after.
  let base = 0;
  for (let e = 0; e < exports_; e += 1) {
    counts.advance();
    await pump(feed.requests(counts, begin - 1000, begin + e * step), server.send);
    if (e === 0) base = cpu(server.pid);
  }
  await sleep(1000);
  const groups = instances * routes;
  const steady = groups * perGroup * (exports_ - 1);
  const spent = cpu(server.pid) - base;
  const memory = (rss(server.pid) - idle) / (groups * perGroup);
  await server.stop();
  const kept = path.join(dir, system.kept);
  const stopped = disk(kept);
  const t0 = performance.now();
  const again = await system.begin(t, dir);
  const ready = performance.now() - t0;
  await sleep(name === 'coalmine' ? 12_000 : 1000); // its upkeep comes every ten seconds
  await again.stop();
  return { perCpu: steady / spent, points: (groups * 3 * (exports_ - 1)) / spent, memory, stopped: stopped / (groups * perGroup * exports_),
    kept: disk(kept) / (groups * perGroup * exports_), ready, first: base };
}

export async function store(scoped) {
  console.log('\n## The store, beside others that get the same samples\n');
  console.log('Seed\'s shape: per instance and route a request counter, an error counter and a histogram of 20 buckets: 24 presented samples. Steady state: after the first export.\n');
  const sizes = (process.env.COALMINE_BENCH_STORE ?? '100x20x80').split('x').map(Number);
  // 100 k presented series x 240 samples; feeding the others so many takes a quarter of an hour.
  const rows = [...chosenSystems.map((name) => [name, sizes]), ['coalmine', [209, 20, 236]]];
  table('store', 'presented series x exports', 'presented samples per CPU second', 'memory, bytes per presented series', 'disk, bytes per presented sample, stopped', 'after restart and upkeep', 'restart to ready, ms');
  for (const [name, [instances, routes, exports_]] of rows) {
    const r = await scoped((t) => oneStore(t, name, instances, routes, exports_));
    row(name, `${thousands(instances * routes * perGroup)} x ${exports_}`, thousands(r.perCpu) + (name === 'coalmine' ? ` (${thousands(r.points)} points)` : ''), r.memory.toFixed(0), r.stopped.toFixed(2), r.kept.toFixed(2), r.ready.toFixed(0));
  }
  console.log('\nThe cost of a sample as series and services become more (coalmine):\n');
  table('presented series', 'services', 'presented samples per CPU second', 'memory, bytes per presented series');
  const curve = async (n, each, exports_, services) => {
    const r = await scoped((t) => oneStore(t, 'coalmine', n, each, exports_, services));
    row(thousands(n * each * perGroup), services, thousands(r.perCpu), r.memory.toFixed(0));
  };
  for (const n of [2, 20, 200, 2083]) await curve(n, 20, Math.max(4, Math.min(1700, 20_000 / n)) | 0, 1);
  for (const services of [1, 10, 100, 1000]) await curve(1000, 5, 10, services);
  await spanTable(scoped);
}

async function spanTable(scoped) {
  console.log('\nSpans of 15 attributes over OTLP/HTTP, 500 a request:\n');
  table('transport', 'spans per CPU second', 'disk, bytes per span, stopped');
  for (const gzip of [false, true]) {
    const r = await scoped(async (t) => {
      const dir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-bench-')), 'data');
      fs.mkdirSync(dir);
      t.after(() => fs.rmSync(path.dirname(dir), { recursive: true, force: true }));
      const server = await Coalmine.start(t, { dir });
      const now = Date.now();
      const payloads = Array.from({ length: 200 }, (_, n) => spans(500, n + 1, now)).map((p) => (gzip ? zlib.gzipSync(p) : p));
      const before = cpu(server.child.pid);
      await pump(payloads, (b) => post(server.http, '/v1/traces', b, { 'content-type': 'application/x-protobuf', ...(gzip ? { 'content-encoding': 'gzip' } : {}) }));
      const spent = cpu(server.child.pid) - before;
      await stop(server.child);
      return { perCpu: 100_000 / spent, disk: disk(path.join(dir, systems.coalmine.kept)) / 100_000 };
    });
    row(gzip ? 'gzip' : 'plain', thousands(r.perCpu), r.disk.toFixed(0));
  }
}
