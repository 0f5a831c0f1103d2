// Stock stacks with their SDKs as they come, behind a real HAProxy: a good release is promoted, a failing and a slow one go back, and a server that
// is stopped in the first step and killed in the second changes nothing about it. In full, at the default export interval: ./dev bench first-use.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './harness.mjs';
import { kEnds, kStacks, missing, Shops } from './stacks.mjs';

// Lines of a log that no rollout of these may have: nothing went missing, and the split was as asked.
const kFalse = ['split', 'pause', 'no_data', 'silent'];

test('five stock stacks', { timeout: 600_000 }, async (t) => {
  const stacks = Object.keys(kStacks).filter((stack) => !missing(stack));
  // Steps of seconds: margins that so few requests can decide, and as many extensions as the three minutes of warming up and a slow machine need.
  const shops = await Shops.start(t, { stacks, rate: 20, exportMs: 1000, steps: '[30% 10s, 60% 20s, 100%]', more: `metrics: { error_rate: +2pp, latency_p50: +50% }
    policy: { inconclusive: { extend: 10s, max_extends: 50 } }` });
  await shops.reported(120);
  await shops.begin();
  const good = () => shops.services.filter((s) => s.release === 'good');
  await until('requests of every canary to be compared', async () => (await shops.look()).every((s) => s.ended || s.rollout.judgement?.requests?.canary > 0), 120, 500);
  await shops.restart('SIGTERM');
  await until('the second step of every good release', async () => (await shops.look()) && good().every((s) => s.ended || s.rollout.steps[1].started_ms > 0), 240, 500);
  await shops.restart('SIGKILL');
  await until('every end', async () => {
    const running = (await shops.look()).filter((s) => !s.ended);
    if (running.length > 0) throw new Error(running.map((s) => `${s.name}: ${s.rollout.reason}`).join('; '));
    return true;
  }, 240, 500).catch((error) => t.diagnostic(error.message));
  for (const stack of Object.keys(kStacks)) {
    await t.test(stack, { skip: missing(stack) }, async () => {
      for (const service of shops.services.filter((s) => s.stack === stack)) {
        const { phase, reason, log } = await shops.coalmine.get(`/v1/rollouts/${service.rollout.id}`);
        const lines = log.map((line) => `${line.kind}: ${line.text}`).join('\n');
        assert.equal(phase, kEnds[service.release], `${service.name}: ${reason}\n${lines}`);
        assert.deepEqual(log.filter((line) => kFalse.includes(line.kind)), [], service.name);
        assert.match(reason, { good: /./, bad: /error_rate/, slow: /p50/ }[service.release]);
      }
    });
  }
});
