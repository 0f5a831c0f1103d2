// Kills a real server at random moments under load and compares every acknowledged point and span after each restart.
// By itself: node tests/e2e/crash.mjs SECONDS [SEED]
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { Coalmine, wait } from './harness.mjs';

const kSenders = 4;
const kPerRequest = 20;
const kPerTrace = 5;
const kService = 'crash';

// A small generator of our own, so that a seed says everything.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const resource = (sender) => ({
  attributes: Object.entries({ 'service.name': kService, 'service.version': '1', 'deployment.track': 'stable', 'service.instance.id': `i${sender}` })
    .map(([key, stringValue]) => ({ key, value: { stringValue } })),
});
// The trace of span n, which holds the spans first(n) to first(n) + kPerTrace - 1.
const first = (n) => n - ((n - 1) % kPerTrace);
const traceId = (sender, n) => `${String(sender).padStart(8, '0')}${first(n).toString(16).padStart(24, '0')}`;

// One client: numbers its points and spans, sends until told to stop, and repeats what was not acknowledged, as an exporter does.
class Sender {
  constructor(sender, base) {
    Object.assign(this, { sender, base, next: 1, acknowledged: 0, open: [], faults: [] });
  }
  points(from) {
    return JSON.stringify({
      resourceMetrics: [{ resource: resource(this.sender), scopeMetrics: [{ metrics: [{
        name: 'number', gauge: { dataPoints: Array.from({ length: kPerRequest }, (_, i) => ({ asDouble: from + i, timeUnixNano: `${this.base + from + i}000000` })) },
      }] }] }],
    });
  }
  spans(from) {
    return JSON.stringify({
      resourceSpans: [{ resource: resource(this.sender), scopeSpans: [{ spans: Array.from({ length: kPerRequest }, (_, i) => {
        const n = from + i;
        return {
          traceId: traceId(this.sender, n), spanId: n.toString(16).padStart(16, '0'), name: 'GET /x', kind: 2,
          startTimeUnixNano: `${this.base + n}000000`, endTimeUnixNano: `${this.base + n + 5}000000`,
          attributes: [{ key: 'number', value: { intValue: String(n) } }, { key: 'http.route', value: { stringValue: '/x' } }],
        };
      }) }] }],
    });
  }
  async send(port, signal, body) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/${signal}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const answer = await response.json();
    if (response.status === 200 && answer.partialSuccess?.errorMessage) this.faults.push(answer.partialSuccess.errorMessage);
    return response.status === 200;
  }
  async run(port, stopping) {
    while (!stopping()) {
      const from = this.next;
      try {
        if (!(await this.send(port, 'metrics', this.points(from))) || !(await this.send(port, 'traces', this.spans(from)))) continue;
      } catch {
        return; // killed; the same is sent again to the next server
      }
      this.next = from + kPerRequest;
      this.acknowledged = from + kPerRequest - 1;
    }
  }
}

// Every point of a sender, from the first on.
async function comparePoints(coalmine, sender) {
  // Matrix selectors answer the samples as they are; a minute at a time, one number a millisecond.
  const seen = new Map();
  for (let at = 0; at <= sender.next + kPerRequest; at += 9000) {
    const time = (sender.base + at + 8999) / 1000;
    const response = await fetch(`${coalmine.url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: `number{instance="i${sender.sender}"}[9s]`, time: String(time) }) });
    const body = await response.json();
    assert.equal(body.status, 'success', JSON.stringify(body));
    for (const series of body.data.result) for (const [t, value] of series.values) seen.set(Math.round(t * 1000) - sender.base, Number(value));
  }
  for (const [n, value] of seen) assert.equal(value, n, 'never a wrong number');
  for (let n = 1; n <= sender.acknowledged; n += 1) assert.ok(seen.has(n), `point ${n} of sender ${sender.sender} was acknowledged and is gone`);
}

// Every span of a sender that was acknowledged since the last comparison. Requests hold whole traces, and so does what is compared.
async function compareSpans(coalmine, sender, from) {
  for (let n = from; n <= sender.acknowledged; n += kPerTrace) {
    const response = await fetch(`${coalmine.url}/v1/traces/${traceId(sender.sender, n)}`);
    assert.equal(response.status, 200, `span ${n} of sender ${sender.sender} was acknowledged and is gone`);
    const trace = await response.text();
    for (let i = n; i < n + kPerTrace; i += 1) assert.match(trace, new RegExp(`"number":${i}\\b`), `span ${i} of sender ${sender.sender} was acknowledged and is gone`);
  }
}

async function compare(coalmine, senders, checkedUpTo) {
  await Promise.all(senders.map(async (sender) => {
    assert.deepEqual(sender.faults, [], 'nothing is refused');
    await comparePoints(coalmine, sender);
    await compareSpans(coalmine, sender, checkedUpTo.get(sender) ?? 1);
    checkedUpTo.set(sender, sender.acknowledged + 1);
  }));
}

// Until that many kills or that many seconds, whichever is given. Returns what was compared.
export async function crash(t, { kills = Infinity, seconds = Infinity, seed = 1, log = () => {} }) {
  const random = generator(seed);
  let coalmine = await Coalmine.start(t);
  const base = Date.now() - 2400_000; // an hour is accepted
  const senders = Array.from({ length: kSenders }, (_, i) => new Sender(i + 1, base));
  const checked = new Map();
  const end = performance.now() + seconds * 1000;
  let done = 0;
  for (; done < kills && performance.now() < end; done += 1) {
    let stopping = false;
    const running = senders.map((s) => s.run(coalmine.http, () => stopping));
    await wait(20 + random() * 400);
    coalmine.child.kill('SIGKILL');
    stopping = true;
    await coalmine.child.done;
    await Promise.all(running);
    coalmine = await Coalmine.start(t, { dir: coalmine.dir });
    await compare(coalmine, senders, checked);
    assert.equal(await coalmine.counter('coalmine_store_damaged_total'), 0, 'a crash is no damage');
    log(`kill ${done + 1}: ${senders.reduce((n, s) => n + s.acknowledged, 0)} points and as many spans acknowledged, all there`);
  }
  // What was in flight when a server died is sent again, and counts once.
  for (const sender of senders) {
    assert.ok(await sender.send(coalmine.http, 'metrics', sender.points(sender.next)));
    assert.ok(await sender.send(coalmine.http, 'traces', sender.spans(sender.next)));
    sender.acknowledged = sender.next + kPerRequest - 1;
  }
  await compare(coalmine, senders, checked);
  const total = senders.reduce((n, s) => n + s.acknowledged, 0);
  const counted = await coalmine.number(`sum(last_over_time(http_server_request_total{service_name="${kService}"}[1h]))`);
  assert.equal(counted, total, 'every request is counted once');
  return { kills: done, points: total, spans: total };
}

if (process.argv[1] === import.meta.filename) {
  const cleanups = [];
  const t = { after: (f) => cleanups.push(f) };
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  try {
    const result = await crash(t, { seconds: Number(process.argv[2] ?? 600), seed, log: (line) => console.log(line) });
    console.log(`${result.kills} kills: ${result.points} points and ${result.spans} spans acknowledged, none lost, none twice`);
  } finally {
    for (const f of cleanups.reverse()) await f();
  }
}
