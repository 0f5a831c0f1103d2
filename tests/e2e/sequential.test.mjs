// The default judge in a running server, with a real HAProxy: traffic follows the weights, and what is worse goes back.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { haproxy } from './haproxy.mjs';
import { Coalmine, scratch, until } from './harness.mjs';
import { requestCounters } from './otlp.mjs';

const kRequests = 20_000; // of an export, both tracks

// While a canary warms up five points more are borne, so that the bad one has to be worse than that.
for (const { name, canaryRate, phase } of [
  { name: 'ten per cent more errors go back', canaryRate: 0.11, phase: 'rolled_back' },
  { name: 'an equal release is promoted', canaryRate: 0.01, phase: 'promoted' },
]) {
  test(`sequential, without a word in the config: ${name}`, { timeout: 120_000 }, async (t) => {
    const dir = scratch(t);
    const balancer = await haproxy(t, dir);
    const config = `service: shop
steps: [5% 15s, 50% 15s, 100%]
interval: 500ms
metrics: { error_rate: +0.5pp }
router:
  haproxy: { socket: ${balancer.socket}, backend: shop, stable: stable1, canary: canary1 }
`;
    const coalmine = await Coalmine.start(t, { dir, config });
    const begin = Date.now();
    const sums = { stable: [0, 0], canary: [0, 0] };
    const send = async (track, version, requests, rate) => {
      sums[track][0] += requests;
      sums[track][1] += requests * rate;
      const response = await fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: requestCounters(track, version, Math.round(sums[track][0]), Math.round(sums[track][1]), Date.now(), begin),
      });
      assert.equal(response.status, 200);
    };
    // As a service exports: at its own interval, what its share of the traffic was.
    let share = 0;
    const feed = async () => {
      const canary = kRequests * share;
      await send('stable', '1', kRequests - canary, 0.01);
      if (share > 0) await send('canary', '2', canary, canaryRate);
      const [canaryWeight, stableWeight] = await balancer.weights();
      share = canaryWeight / (canaryWeight + stableWeight);
    };
    await feed();
    const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
    let next = 0;
    const ended = await until('the end', async () => {
      if (Date.now() >= next) {
        next = Date.now() + 500;
        await feed();
      }
      const rollout = await coalmine.get(`/v1/rollouts/${id}`);
      return rollout.terminal && rollout;
    }, 90);
    assert.equal(ended.phase, phase, ended.reason);
    const [canaryWeight, stableWeight] = await balancer.weights();
    if (phase === 'promoted') {
      assert.equal(stableWeight, 0);
    } else {
      assert.equal(canaryWeight, 0);
      assert.match(ended.reason, /error_rate: 11\.00% on canary against 1\.00% on stable/);
    }
  });
}
