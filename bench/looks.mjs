// ./dev bench looks: what looks cost, with many rollouts at once, each with many routes.
// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { Coalmine } from '../tests/e2e/harness.mjs';
import { metrics } from '../tests/e2e/otlp.mjs';
import { post, row, sleep, table } from './systems.mjs';

const ticks = Number(execFileSync('getconf', ['CLK_TCK']));

// CPU seconds by the names of the server's threads: those that look, those that decide and write the journal, and those that take telemetry in.
function cpuByThread(pid) {
  const out = {};
  for (const id of fs.readdirSync(`/proc/${pid}/task`)) {
    const [head, rest] = fs.readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8').split(') ');
    const name = head.slice(head.indexOf('(') + 1);
    const fields = rest.split(' ');
    out[name] = (out[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) / ticks;
  }
  return out;
}

// Calls seen(export, {looks, looking, deciding, others}) after each of so many exports, 15 s apart. Returns the reason of one rollout.
export async function lookCosts(t, rollouts, routes, exports_, seen) {
  const names = Array.from({ length: rollouts }, (_, i) => `service-${i}`);
  const config = names.map((name) => `service: ${name}\nsteps: [50% 1h, 100%]\nmetrics: { error_rate: +0.5pp, latency_p50: +20%, latency_p99: +20%, latency_p999: +30% }\n`).join('---\n');
  const coalmine = await Coalmine.start(t, { config });
  const began = Date.now() - 60_000;
  let value = 0;
  const feed = async () => {
    value += 20;
    for (const name of names) {
      for (const track of ['stable', 'canary']) {
        await post(coalmine.http, '/v1/metrics', metrics(track, `${track}-1`, routes, value, Date.now(), began, { 'service.name': name }), { 'content-type': 'application/x-protobuf' });
      }
    }
  };
  await feed();
  for (const name of names) await coalmine.post('/v1/rollouts', { service: name, canary_version: '2.4.0', stable_version: '2.3.0' });
  const looked = async () => Number(/^coalmine_looks_total (\d+)/m.exec(await (await fetch(`http://127.0.0.1:${coalmine.api}/metrics`)).text())?.[1] ?? 0);
  for (let i = 1; i <= exports_; i += 1) {
    const at = Date.now();
    const before = cpuByThread(coalmine.child.pid);
    const looksBefore = await looked();
    await feed();
    await sleep(Math.max(0, at + 15_000 - Date.now()));
    const spent = cpuByThread(coalmine.child.pid);
    for (const name of Object.keys(spent)) spent[name] -= before[name] ?? 0;
    const { looks: looking, rollouts: deciding, journal = 0, ...others } = spent;
    seen(i, { looks: (await looked()) - looksBefore, looking, deciding: deciding + journal, others: Object.values(others).reduce((a, b) => a + b, 0) });
  }
  const [one] = (await coalmine.get('/v1/rollouts')).rollouts ?? [];
  return one?.judgement?.reason ?? '';
}

export async function looks(scoped) {
  const [rollouts, routes] = [Number(process.env.COALMINE_BENCH_ROLLOUTS ?? 1000), 50];
  console.log(`\n## Looks: ${rollouts} rollouts x ${routes} routes x 4 signals (error rate, p50, p99, p999), exports every 15 s\n`);
  table('15 s from', 'looks', 'looking, CPU s', 'deciding and journal, CPU s', 'everything else (telemetry in), CPU s');
  const reason = await scoped((t) => lookCosts(t, rollouts, routes, 6, (i, spent) => {
    row(`export ${i}`, spent.looks, ...[spent.looking, spent.deciding, spent.others].map((s) => s.toFixed(2)));
  }));
  console.log(`\n${reason}`);
}
