// A server that is stopped or killed in the middle of a step and started again: nobody may see it in the evidence, in the sentences or in the end.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { haproxy } from './haproxy.mjs';
import { Coalmine, scratch, stop, until } from './harness.mjs';
import { requestCounters } from './otlp.mjs';

const kRequests = 40; // a millisecond, both tracks
const kExportMs = 500;

// The closed cells that the journal keeps: [[begin, end, the cell's bytes]] in order.
async function keptCells(dir) {
  const script = `import json, sqlite3, sys
db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
print(json.dumps([[a, b, c.hex()] for a, b, c in db.execute('SELECT from_ms, to_ms, cell FROM cells ORDER BY from_ms')]))`;
  const { stdout } = await promisify(execFile)('python3', ['-c', script, path.join(dir, 'data/journal/rollouts.db')], { maxBuffer: 1 << 26 });
  return JSON.parse(stdout);
}

// What the judge says, without what goes on while nothing comes: the step's time.
const said = (rollout) => ({
  requests: rollout.judgement.requests,
  metrics: rollout.judgement.metrics.map((metric) => ({ ...metric, minutes_left: undefined })),
  reason: rollout.judgement.reason.replace(/^Passing so far, \d+ of \d+ seconds: /, ''),
  observed_split: rollout.observed_split,
});

// A service behind HAProxy that exports its request counters, whether somebody takes them or not.
class Service {
  constructor(balancer) {
    Object.assign(this, { balancer, canaryRate: 0.01, begin: Date.now(), counted: Date.now(), exported: 0, share: 0, sums: { stable: [0, 0], canary: [0, 0] } });
  }
  async export(coalmine, track, version) {
    const [requests, errors] = this.sums[track].map(Math.round);
    const response = await fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: requestCounters(track, version, requests, errors, this.counted, this.begin),
    });
    assert.equal(response.status, 200);
  }
  // Counts what came since the last call, and exports when it is time.
  async serve(coalmine) {
    const now = Date.now();
    const requests = kRequests * (now - this.counted);
    this.counted = now;
    for (const [track, part, rate] of [['stable', 1 - this.share, 0.01], ['canary', this.share, this.canaryRate]]) {
      this.sums[track][0] += requests * part;
      this.sums[track][1] += requests * part * rate;
    }
    const [canaryWeight, stableWeight] = await this.balancer.weights();
    this.share = canaryWeight / (canaryWeight + stableWeight);
    if (now - this.exported < kExportMs) return;
    this.exported = now;
    await this.export(coalmine, 'stable', '1');
    if (this.sums.canary[0] > 0) await this.export(coalmine, 'canary', '2');
  }
}

// Rollouts wait out their steps, each beside its own server and HAProxy: all at once.
describe('a restart in the middle of a step', { concurrency: true }, () => {
  for (const { name, signal, rateAfterwards, phase } of [
    { name: 'stopped, and an equal release is promoted', signal: 'SIGTERM', rateAfterwards: 0.01, phase: 'promoted' },
    { name: 'killed, and an equal release is promoted', signal: 'SIGKILL', rateAfterwards: 0.01, phase: 'promoted' },
    { name: 'killed, and what is worse goes back', signal: 'SIGKILL', rateAfterwards: 0.11, phase: 'rolled_back' },
  ]) {
    test(name, { timeout: 90_000 }, async (t) => {
      const dir = scratch(t);
      const balancer = await haproxy(t, dir);
      const options = { dir, config: `service: shop
steps: [10% 1m, 50% 18s, 100%]
interval: 500ms
metrics: { error_rate: +0.5pp }
router:
  haproxy: { socket: ${balancer.socket}, backend: shop, stable: stable1, canary: canary1 }
` };
      let coalmine = await Coalmine.start(t, options);
      const service = new Service(balancer);
      await service.serve(coalmine);
      const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
      const look = () => coalmine.get(`/v1/rollouts/${id}`);
      const feed = async () => {
        await service.serve(coalmine);
        return look();
      };
      // A first step of another weight, whose requests are not to be counted with those of the second.
      await until('traffic on the canary', async () => (await feed()) && service.sums.canary[0] > 3_000 * kRequests * 0.1, 20);
      await coalmine.post(`/v1/rollouts/${id}/promote`, { reason: 'enough of this step' });
      const second = await until('the second step', async () => {
        const rollout = await feed();
        return rollout.steps[1].started_ms > 0 && rollout;
      }, 20);
      await until('closed cells of it', async () => {
        await feed();
        return (await keptCells(dir)).filter(([from]) => from >= second.steps[1].started_ms).length > 0;
      }, 30, 200);
      const fed = service.exported;
      const before = await until('a look at all that came', async () => {
        const rollout = await look();
        return Date.parse(rollout.judgement?.window.to) > fed + kExportMs && rollout;
      });
      const kept = await keptCells(dir);

      await stop(coalmine.child, signal);
      coalmine = await Coalmine.start(t, { ...options, ports: coalmine.ports });
      const started = Date.now();
      const after = await until('the first look', async () => {
        const rollout = await look();
        return Date.parse(rollout.judgement?.window.to) >= started && rollout;
      });
      assert.deepEqual(said(after), said(before));
      assert.deepEqual((await keptCells(dir)).slice(0, kept.length), kept, 'kept cells stay as they are');
      assert.ok(before.judgement.requests.canary > 0);
      assert.ok(Math.abs(before.observed_split - 0.5) < 0.05, `${before.observed_split} of the step's requests`);

      service.canaryRate = rateAfterwards;
      let counted = after.judgement.requests;
      const ended = await until('the end', async () => {
        const rollout = await feed();
        const requests = rollout.judgement?.requests;
        if (requests?.canary !== undefined) {
          assert.ok(requests.canary >= counted.canary && requests.stable >= counted.stable, `${JSON.stringify(requests)} after ${JSON.stringify(counted)}`);
          counted = requests;
        }
        return rollout.terminal && rollout;
      }, 45);
      assert.equal(ended.phase, phase, ended.reason);
      assert.deepEqual(ended.log.filter((line) => ['split', 'paused', 'no_data'].includes(line.kind)), []);
      assert.ok(counted.canary > before.judgement.requests.canary, 'what came meanwhile is counted');
    });
  }
});
