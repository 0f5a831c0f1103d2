// Hours of a busy service in minutes: a real server whose clock runs faster (fast_clock.c), and what its senders, its rollouts and those who
// look at it do in that time. For soak.test.mjs and ./dev bench soak.
// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Coalmine, root, until, wait } from './harness.mjs';
import { metrics, spans } from './otlp.mjs';

const kSecond = 1000;
const kStable = 16; // pods
const kCanary = 4;
const kRoutes = 2;
const kRolloutSeconds = 20;
const service = 'checkout-service';

// A clock that runs so many times as fast as the real one, for this process and for servers with its environment.
class FastClock {
  constructor(speed) {
    this.speed = speed;
    this.realStart = Date.now();
    const library = path.join(root, 'build/fast_clock.so');
    fs.mkdirSync(path.dirname(library), { recursive: true });
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, path.join(import.meta.dirname, 'fast_clock.c')]);
    // hrtime is CLOCK_MONOTONIC, as in the server.
    this.env = { LD_PRELOAD: library, COALMINE_CLOCK: `${speed} ${BigInt(this.realStart) * 1_000_000n} ${process.hrtime.bigint()}` };
  }
  now() { return this.realStart + (Date.now() - this.realStart) * this.speed; }
}

function directoryBytes(dir) {
  let sum = 0;
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const where = path.join(dir, entry.name);
    try {
      sum += entry.isDirectory() ? directoryBytes(where) : fs.statSync(where).blocks * 512;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error; // the server removed it meanwhile
    }
  }
  return sum;
}

class Pods {
  constructor(now) {
    Object.assign(this, { born: 0, version: 1, stable: [], canary: [], next: 0, sent: 0 });
    for (let i = 0; i < kStable; i += 1) this.stable.push(this.pod('stable', this.version, now));
  }
  pod(track, version, now) {
    this.born += 1;
    return { track, version: `1.${version}`, id: `pod-${this.born}`, start: now, value: 0, errors: 0.01 };
  }
  release(now, bad) {
    this.canaryVersion = (this.canaryVersion ?? this.version) + 1;
    this.canary = Array.from({ length: kCanary }, () => ({ ...this.pod('canary', this.canaryVersion, now), errors: bad ? 0.4 : 0.01 }));
  }
  // All of stable is replaced when a release went through; without one its pods are, in turn.
  end(now, promoted) {
    this.canary = [];
    if (promoted) this.version = this.canaryVersion;
    for (let i = 0; i < (promoted ? kStable : 4); i += 1) {
      this.stable.shift();
      this.stable.push(this.pod('stable', this.version, now));
    }
  }
  // One export of every pod, as a collector puts them together, and spans of one of them.
  exports(now) {
    const list = [...this.stable, ...this.canary];
    for (const pod of list) pod.value += 50;
    const attributes = (pod) => ({ 'service.version': pod.version, 'service.instance.id': pod.id });
    const points = Buffer.concat(list.map((pod) => metrics(pod.track, 0, kRoutes, pod.value, now, pod.start, attributes(pod), pod.errors)));
    const of = list[this.next++ % list.length];
    const traces = spans(10, ++this.sent, now, { ...attributes(of), 'deployment.track': of.track });
    return { points, traces };
  }
}

// A connection each, and another one when it is closed: to a server whose clock runs faster whoever has to wait for a busy machine is slow.
const askOnce = (port, method, where, type = '', body = '') => new Promise((resolve, reject) => {
  const headers = body.length > 0 ? { 'content-type': type, 'content-length': body.length } : {};
  http.request({ port, host: '127.0.0.1', path: where, method, agent: false, headers }, (response) => {
    const parts = [];
    response.on('data', (part) => parts.push(part)).on('error', reject).on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString() }));
  }).on('error', reject).end(body);
});
async function ask(...what) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await askOnce(...what);
    } catch (error) {
      if (tries === 10) throw error;
    }
  }
}
async function mustAsk(...what) {
  const { status, text } = await ask(...what);
  if (status >= 300) throw new Error(`${what.slice(1, 3).join(' ')}: HTTP ${status} ${text}`);
  return text;
}
const post = (port, where, body) => mustAsk(port, 'POST', where, 'application/x-protobuf', body);
const postJson = (port, where, value) => ask(port, 'POST', where, 'application/json', JSON.stringify(value));

// One rollout after the other: a third is bad, a third is promoted by hand, a third aborted.
class Rollouts {
  constructor(coalmine, pods) { Object.assign(this, { coalmine, pods, started: 0, ends: {} }); }
  async turn(now) {
    const { api } = this.coalmine;
    if (this.id !== undefined) {
      const asked = await postJson(api, `/v1/rollouts/${this.id}/${this.started % 3 === 1 ? 'promote' : 'abort'}`, { reason: 'soak' });
      if (asked.status !== 200 && asked.status !== 412) throw new Error(`rollout ${this.id}: HTTP ${asked.status} ${asked.text}`); // 412: it has ended
      const { phase } = await until('its end', async () => {
        const rollout = JSON.parse(await mustAsk(api, 'GET', `/v1/rollouts/${this.id}`));
        return rollout.terminal && rollout;
      }, 20, 5);
      this.ends[phase] = (this.ends[phase] ?? 0) + 1;
      this.pods.end(now, phase === 'promoted');
    }
    this.pods.release(now, this.started % 3 === 2);
    await post(this.coalmine.http, '/v1/metrics', this.pods.exports(now).points);
    this.started += 1;
    const started = await postJson(api, '/v1/rollouts', { service, canary_version: `1.${this.pods.canaryVersion}`, stable_version: `1.${this.pods.version}` });
    // 409: it was started, and the answer did not arrive.
    if (![201, 409].includes(started.status)) throw new Error(`no rollout was started: HTTP ${started.status} ${started.text}`);
    this.id = started.status === 201 ? JSON.parse(started.text).id : JSON.parse(await mustAsk(api, 'GET', '/v1/rollouts')).rollouts[0].id;
  }
}

// What somebody with the page open, a Prometheus that scrapes and a dashboard ask for. 503 and 504: what may take 30 s does not get that long on a
// clock that runs faster than the machine.
async function look({ api }, now) {
  const range = new URLSearchParams({ query: 'sum by (deployment_track) (rate(http_server_request_total[1m]))', start: now / 1000 - 900, end: now / 1000, step: 15 });
  for (const where of ['/metrics', '/v1/rollouts', `/v1/failures?service=${service}&track=canary&limit=20`, `/api/v1/query_range?${range}`]) {
    const { status, text } = await ask(api, 'GET', where);
    if (![200, 503, 504].includes(status)) throw new Error(`${where}: HTTP ${status} ${text}`);
  }
}

// Lets so many hours pass, speed times as fast; calls seen({hours, rss, disk, journal, series, rollouts, pods}) every five minutes of the server's
// time. retention: of telemetry. Returns {ends, missed}: rollouts by how they ended, and the share of exports that were left out because the
// machine was too slow.
export async function soak(t, { hours, speed, retention, exportSeconds = 1, seen }) {
  const clock = new FastClock(speed);
  const coalmine = await Coalmine.start(t, {
    config: `service: ${service}\nsteps: [50% 15s, 100%]\ninterval: 1s\n`, args: ['--retention', retention, '--log-level', 'error'], env: clock.env,
  });
  const pods = new Pods(clock.now());
  const rollouts = new Rollouts(coalmine, pods);
  const began = clock.now();
  const hoursPassed = () => (clock.now() - began) / 3_600_000;
  // Does this at every so many seconds of the server's time, if it can; how often it did.
  const every = async (seconds, what) => {
    let done = 0;
    for (let due = began; hoursPassed() < hours; done += 1) {
      while (clock.now() < due) await wait(1);
      await what(clock.now());
      due += Math.max(1, Math.ceil((clock.now() - due) / (seconds * kSecond))) * seconds * kSecond;
    }
    return done;
  };
  const data = path.join(coalmine.dir, 'data');
  const [sent] = await Promise.all([
    every(exportSeconds, async (now) => {
      const { points, traces } = pods.exports(now);
      await Promise.all([post(coalmine.http, '/v1/metrics', points), post(coalmine.http, '/v1/traces', traces)]);
    }),
    every(kRolloutSeconds, (now) => rollouts.turn(now)),
    every(15, (now) => look(coalmine, now)),
    every(300, async () => {
      const { store } = JSON.parse(await mustAsk(coalmine.api, 'GET', '/v1/status'));
      seen({ hours: hoursPassed(), rss: coalmine.rssBytes(), disk: directoryBytes(data), journal: directoryBytes(path.join(data, 'journal')),
        series: store.series, rollouts: rollouts.started, pods: pods.born });
    }),
  ]);
  return { ends: rollouts.ends, missed: 1 - sent / ((hours * 3600) / exportSeconds) };
}
