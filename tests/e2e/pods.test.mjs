// Twenty real Node.js processes behind a real HAProxy, each of which is stopped for a second now and then: requests depend on each other,
// as they do where garbage is collected. An equal canary is promoted all the same, and one that crashes again and again goes back.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { balancer } from './haproxy.mjs';
import { Coalmine, atEnd, freePorts, root, scratch, start, until, wait } from './harness.mjs';

const kStable = 19;
const kRate = 120;           // requests a second
const kWarmUpMs = 180_000;   // of a process; its durations do not count before
const kPauseMs = 1_000;
const kBetweenPausesMs = 20_000; // of one process, on average
const env = (name, otherwise) => process.env[`COALMINE_PODS_${name}`] ?? otherwise;

class Pods {
  constructor(t, coalmine) {
    Object.assign(this, { t, coalmine, children: new Map(), pauses: 0, ended: false });
    atEnd(t, () => (this.ended = true));
  }
  async begin(pod, track, version, port) {
    const child = start(this.t, process.execPath, [path.join(root, 'demo/checkout-service.mjs')], {
      APP_VERSION: version, DEPLOYMENT_TRACK: track, POD_NAME: pod, PORT: String(port),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.coalmine.http}`,
    });
    this.children.set(pod, child);
    await until(`${pod} to listen`, () => child.output.includes('listening'), 60);
    return child;
  }
  async crash(pod) {
    const child = this.children.get(pod);
    this.children.delete(pod);
    child.kill('SIGKILL');
    await child.done;
  }
  // Stops each process at moments of its own: the exponential distribution.
  pauseNowAndThen() {
    const next = () => setTimeout(async () => {
      if (this.ended) return;
      next();
      const running = [...this.children.values()];
      const child = running[Math.floor(Math.random() * running.length)];
      this.pauses += 1;
      child.kill('SIGSTOP');
      await wait(kPauseMs);
      child.kill('SIGCONT');
    }, -Math.log(1 - Math.random()) * kBetweenPausesMs / this.children.size).unref();
    next();
    // A stopped process hears no other signal.
    atEnd(this.t, () => this.children.forEach((child) => child.kill('SIGCONT')));
  }
}

test('pods that pause: an equal canary is promoted, a crashing one goes back', { timeout: 600_000 }, async (t) => {
  const dir = scratch(t);
  const [canaryPort, ...stablePorts] = await freePorts(kStable + 1);
  const names = stablePorts.map((_, i) => `stable${i + 1}`);
  const { socket, port } = await balancer(t, dir, (listen) => `  timeout server 30s
frontend f
  bind 127.0.0.1:${listen}
  default_backend shop
backend shop
  balance roundrobin
  option httpchk GET /healthz
  timeout check 5s
${names.map((name, i) => `  server ${name} 127.0.0.1:${stablePorts[i]} weight 10 check inter 500ms fall 4`).join('\n')}
  server canary1 127.0.0.1:${canaryPort} weight 0 check inter 500ms fall 4 rise 1
`);
  const coalmine = await Coalmine.start(t, { dir, config: `service: checkout-service
steps: [5% 30s, 25% 30s, 50% 30s, 100%]
interval: 1s
policy: { inconclusive: { extend: 30s, max_extends: 6 } }
router:
  haproxy: { socket: ${socket}, backend: shop, stable: stable*, canary: canary1 }
` });
  const pods = new Pods(t, coalmine);
  const began = Date.now();
  for (const [i, name] of names.entries()) await pods.begin(name, 'stable', '1.0.0', stablePorts[i]);
  await pods.begin('canary1', 'canary', '2.0.0', canaryPort);
  start(t, process.execPath, [path.join(root, 'demo/load.mjs'), `http://127.0.0.1:${port}/`, String(kRate), '900']);
  pods.pauseNowAndThen();
  // The processes' own warm-up, in which durations do not count: what pauses do is to be judged.
  await wait(kWarmUpMs + 10_000 - (Date.now() - began));

  const rollout = async (canary_version, seconds) => {
    const { id } = await coalmine.post('/v1/rollouts', { service: 'checkout-service', canary_version, stable_version: '1.0.0' });
    return { id, end: () => until('the end', async () => {
      const now = await coalmine.get(`/v1/rollouts/${id}`);
      return (now.terminal || now.phase === 'paused') && now;
    }, seconds) };
  };
  const pausesBefore = pods.pauses;
  const equal = await (await rollout('2.0.0', 300)).end();
  t.diagnostic(`equal: ${equal.phase} after ${(equal.ended_ms - equal.started_ms) / 1000} s and ${pods.pauses - pausesBefore} pauses: ${equal.reason}`);
  if (env('LOG')) console.log(JSON.stringify((await coalmine.get(`/v1/rollouts/${equal.id}`)).log, null, 1));
  assert.equal(equal.phase, 'promoted', equal.reason);
  assert.ok(pods.pauses - pausesBefore > 20, `only ${pods.pauses - pausesBefore} pauses`);

  await coalmine.post(`/v1/rollouts/${equal.id}/undo`, {});
  await until('all traffic on stable', async () => (await coalmine.get(`/v1/rollouts/${equal.id}`)).weight_applied === 0, 30).catch(() => {});
  await pods.crash('canary1');
  await pods.begin('canary1', 'canary', '2.1.0', canaryPort);
  const crashing = await rollout('2.1.0', 90);
  let seen;
  const ended = crashing.end().then((end) => (seen = end));
  for (let crashes = 0; crashes < 6 && !seen; ++crashes) {
    // Long enough to export a few times: what never reports is never seen.
    await wait(5_000);
    if (seen) break;
    await pods.crash('canary1');
    await pods.begin('canary1', 'canary', '2.1.0', canaryPort);
  }
  const back = await ended;
  if (env('LOG')) console.log(JSON.stringify(back.log, null, 1));
  assert.equal(back.phase, 'rolled_back', back.reason);
  assert.match(back.reason, /restarts: \S*canary1\S* of the canary began anew [34] times in 10 minutes, none of stable's did/);
});
