// ./dev bench query: what the seed's panel queries cost, beside Debian's Prometheus and VictoriaMetrics, which hold the same samples.
// COALMINE_BENCH_QUERY=20x21,100x42 chooses the sizes (instances x routes), COALMINE_BENCH_SYSTEMS=coalmine,prometheus the servers.
// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { seedPanels } from '../tests/e2e/harness.mjs';
import { chosenSystems, cpu, makeCounts, perGroup, peak, pump, resetPeak, row, rss, sleep, stepMs, systems, table } from './systems.mjs';

const exports_ = 240;

// All that is ever counted, export by export.
export function history(groups) {
  const counts = makeCounts(groups);
  return Array.from({ length: exports_ }, () => {
    counts.advance();
    return Object.fromEntries(Object.entries(counts.state).map(([name, list]) => [name, list.slice()]));
  });
}

async function load(system, server, instances, routes, states, begin) {
  const feed = new system.feed(instances, routes);
  if (feed.bulk) {
    for (const body of feed.bulk(states, begin)) await server.send(body);
    return;
  }
  for (const [e, state] of states.entries()) await pump(feed.requests({ state }, begin - 1000, begin + e * stepMs), server.send);
}

async function ask(url, where, form) {
  const response = await fetch(`${url}/api/v1/${where}`, { method: 'POST', body: new URLSearchParams(form) });
  const answer = await response.json();
  if (answer.status !== 'success' || answer.data.result.length === 0) throw new Error(`${JSON.stringify(form)}: ${JSON.stringify(answer).slice(0, 300)}`);
  return answer.data.result;
}

// CPU milliseconds a query: for a few seconds or so many runs, whichever is first.
async function measure(server, where, form) {
  const answer = await ask(server.url, where, form);
  const times = [];
  const before = cpu(server.pid);
  const started = performance.now();
  while (times.length < 4 || (times.length < 400 && performance.now() - started < 3000)) {
    const t0 = performance.now();
    await ask(server.url, where, form);
    times.push(performance.now() - t0);
  }
  const spent = ((cpu(server.pid) - before) * 1000) / times.length;
  return { answer, cpu: spent, wall: times.sort((a, b) => a - b)[times.length >> 1] };
}

// The largest relative difference of two answers; both must have the same series and times.
function difference(a, b) {
  const points = (result) => new Map(result.flatMap((s) => (s.values ?? [s.value]).map(([t, v]) => [`${JSON.stringify(Object.entries(s.metric).sort())} ${Math.round(t * 1000)}`, Number(v)])));
  const [x, y] = [points(a), points(b)];
  if (x.size !== y.size) return Infinity;
  let worst = 0;
  for (const [key, value] of x) {
    if (!y.has(key)) return Infinity;
    const other = y.get(key);
    if (value !== other && !(Number.isNaN(value) && Number.isNaN(other))) worst = Math.max(worst, Math.abs(value - other) / Math.max(Math.abs(value), Math.abs(other)));
  }
  return worst;
}

function questions(begin) {
  const panels = seedPanels();
  // A millisecond off the samples: Prometheus 2.42 counts the one at which a window begins, later ones do not.
  const last = (begin + (exports_ - 1) * stepMs + 1) / 1000;
  const instant = (query) => ['query', { query, time: last }];
  const range = (query) => ['query_range', { query, start: last - 3600 + 315, end: last, step: 15 }];
  const [ratio, p99, split] = [panels[0].queries[0], panels[1].queries[0], panels[2].queries[0]];
  return [['p99 instant', ...instant(p99)], ['p99 range 1 h step 15 s', ...range(p99)], ['error ratio instant', ...instant(ratio)],
    ['error ratio range 1 h step 15 s', ...range(ratio)], ['traffic split instant', ...instant(split)],
    ['p99 by route instant', ...instant(p99.replace('(le)', '(le, http_route)'))],
    ['p99 of 55 minutes instant', ...instant(p99.replaceAll('[5m]', '[55m]'))]];
}

export async function oneSystem(t, name, instances, routes, states, begin) {
  const dir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-bench-')), 'data');
  fs.mkdirSync(dir);
  t.after(() => fs.rmSync(path.dirname(dir), { recursive: true, force: true }));
  const server = await systems[name].begin(t, dir);
  await load(systems[name], server, instances, routes, states, begin);
  await sleep(12_000); // coalmine's upkeep comes every ten seconds; the others finish what they have begun
  const idle = rss(server.pid);
  resetPeak(server.pid);
  const found = [];
  for (const [title, where, form] of questions(begin)) {
    found.push({ title, ...(await measure(server, where, { ...form, ...server.form })) });
  }
  const memory = peak(server.pid) - idle;
  await server.stop();
  return { found, memory };
}

export async function query(scoped) {
  console.log('\n## The seed\'s panel queries, one hour at 15 s, CPU ms a query (wall ms)\n');
  for (const size of (process.env.COALMINE_BENCH_QUERY ?? '20x21,100x42').split(',')) {
    const [instances, routes] = size.split('x').map(Number);
    const states = history(instances * routes);
    const results = [];
    for (const name of chosenSystems) {
      const begin = Date.now() - 3_585_000; // just inside what is accepted late
      results.push(await scoped((t) => oneSystem(t, name, instances, routes, states, begin)));
    }
    console.log(`\n${instances * routes * perGroup} presented series; load ${os.loadavg()[0].toFixed(1)}\n`);
    table('query', ...chosenSystems, ...chosenSystems.slice(1).flatMap((name) => [`${name} : coalmine`, 'largest difference']));
    for (const [q, ours] of results[0].found.entries()) {
      const cells = results.map((r) => r.found[q]);
      const moved = cells.slice(1).map((c) => difference(shift(ours.answer), shift(c.answer)));
      row(ours.title, ...cells.map((c) => `${c.cpu.toFixed(1)} (${c.wall.toFixed(1)})`), ...cells.slice(1).flatMap((c, i) => [`${(c.cpu / ours.cpu).toFixed(0)} x`, moved[i].toExponential(0)]));
      // VictoriaMetrics takes the sample before the window instead of extrapolating, so that its rates are near ours and not the same.
      if (chosenSystems.includes('prometheus') && moved[chosenSystems.indexOf('prometheus') - 1] > 1e-9) throw new Error(`${ours.title}: Prometheus answers something else`);
    }
    row('peak memory over idle, MB', ...results.map((r) => (r.memory / 1e6).toFixed(0)), ...chosenSystems.slice(1).flatMap((_, i) => [`${(results[i + 1].memory / results[0].memory).toFixed(0)} x`, '']));
  }
}

// The servers are loaded one after the other, each with its own last hour: times count from the first.
function shift(result) {
  const first = Math.min(...result.map((s) => (s.values ? s.values[0][0] : s.value[0])));
  return result.map((s) => (s.values ? { metric: s.metric, values: s.values.map(([t, v]) => [t - first, v]) } : { metric: s.metric, value: [0, s.value[1]] }));
}
