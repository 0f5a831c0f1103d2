// The default judge in a running server, with a real HAProxy: traffic follows the weights, and what is worse goes back.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { haproxy } from './haproxy.mjs';
import { Coalmine, scratch, until } from './harness.mjs';
import { requestCounters } from './otlp.mjs';

const kRequests = 20_000; // of an export, both tracks

// Rollouts wait out their steps, each beside its own server and HAProxy: all at once.
describe('rollouts', { concurrency: true }, () => {
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

  // Nothing fails and nothing is slow: only fewer checkouts become orders. An expression rides along that is equal on both tracks.
  for (const { name, converted, phase } of [
    { name: 'a fifth fewer orders go back', converted: 0.24, phase: 'rolled_back' },
    { name: 'as many orders are promoted', converted: 0.3, phase: 'promoted' },
  ]) {
    test(`metrics of one's own: ${name}`, { timeout: 180_000 }, async (t) => {
      const dir = scratch(t);
      const balancer = await haproxy(t, dir);
      const coalmine = await Coalmine.start(t, { dir, config: `service: shop
steps: [5% 15s, 50% 15s, 100%]
interval: 500ms
policy: { inconclusive: { extend: 30s } }
metrics:
  error_rate: +0.5pp
  conversion: { ratio: { good: orders_total, total: checkouts_total }, margin: -5% }
  checkouts_a_request:
    promql: 'sum(rate(checkouts_total{deployment_track="$track"}[$window])) / sum(rate(http_server_request_total{deployment_track="$track"}[$window]))'
    unit: ratio
    margin: +20%
    gate: false
router:
  haproxy: { socket: ${balancer.socket}, backend: shop, stable: stable1, canary: canary1 }
` });
      const begin = Date.now();
      const sums = { stable: 0, canary: 0 };
      const send = async (track, version, requests) => {
        sums[track] += requests;
        const rate = track === 'canary' ? converted : 0.3;
        const response = await fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, {
          method: 'POST', headers: { 'content-type': 'application/json' },
          body: requestCounters(track, version, Math.round(sums[track]), Math.round(sums[track] * 0.01), Date.now(), begin, {
            'checkouts.total': Math.round(sums[track] * 0.5), 'orders.total': Math.round(sums[track] * 0.5 * rate),
          }),
        });
        assert.equal(response.status, 200);
      };
      let share = 0;
      const feed = async () => {
        const canary = kRequests * share;
        await send('stable', '1', kRequests - canary);
        if (share > 0) await send('canary', '2', canary);
        const [canaryWeight, stableWeight] = await balancer.weights();
        share = canaryWeight / (canaryWeight + stableWeight);
      };
      await feed();
      const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
      let next = 0;
      let seen;
      const ended = await until('the end', async () => {
        if (Date.now() >= next) {
          next = Date.now() + 500;
          await feed();
        }
        const rollout = await coalmine.get(`/v1/rollouts/${id}`);
        seen = rollout.judgement?.metrics.find((m) => m.name === 'checkouts_a_request' && m.canary !== null) ?? seen;
        return rollout.terminal && rollout;
      }, 150);
      assert.equal(ended.phase, phase, ended.reason);
      if (phase === 'rolled_back') {
        assert.match(ended.reason, /conversion: 24\.0\d% on canary against 30\.0\d% on stable, -20\.\d%.*, allowed -5%/);
      } else {
        assert.equal(seen?.unit, 'ratio', 'the expression was measured');
        assert.ok(Math.abs(seen.canary - 0.5) < 0.1 && Math.abs(seen.stable - 0.5) < 0.1, JSON.stringify(seen));
      }
    });
  }
});
