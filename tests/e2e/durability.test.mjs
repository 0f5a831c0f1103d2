// What was acknowledged survives kill -9, and a rollout goes on where it was.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { haproxy } from './haproxy.mjs';
import { Coalmine, freePorts, scratch, stop, until } from './harness.mjs';
import { requestCounters } from './otlp.mjs';

const post = (coalmine, body) => fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });

test('acknowledged points survive kill -9', { timeout: 60_000 }, async (t) => {
  let coalmine = await Coalmine.start(t);
  const begin = Date.now() - 60_000;
  for (let round = 1; round <= 3; round += 1) {
    for (let i = 0; i < 20; i += 1) {
      assert.equal((await post(coalmine, requestCounters('stable', '1', round * 100 + i, 0, begin + (round * 20 + i) * 500, begin - 1000))).status, 200);
    }
    coalmine.child.kill('SIGKILL');
    await coalmine.child.done;
    coalmine = await Coalmine.start(t, { dir: coalmine.dir });
    assert.equal(await coalmine.number('sum(count_over_time(http_server_request_total[5m]))'), round * 20);
    assert.equal(await coalmine.number('http_server_request_total'), round * 100 + 19);
  }
});

test('a rollout survives kill -9 and a regression after it still goes back', { timeout: 90_000 }, async (t) => {
  const dir = scratch(t);
  const balancer = await haproxy(t, dir);
  const config = `service: shop
steps: [5% 60s, 100%]
interval: 500ms
analysis: { analysis_window: 60s }
router:
  haproxy: { socket: ${balancer.socket}, backend: shop, stable: stable1, canary: canary1 }
`;
  let coalmine = await Coalmine.start(t, { dir, config });
  const begin = Date.now();
  let canaryErrors = 0;
  let count = 0;
  const feed = async () => {
    count += 100;
    canaryErrors += feed.failing ? 50 : 0;
    await post(coalmine, requestCounters('stable', '1', count * 19, 0, Date.now(), begin));
    await post(coalmine, requestCounters('canary', '2', count, canaryErrors, Date.now(), begin));
  };
  await feed();
  const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
  await until('5 % in the router', async () => (await balancer.canaryWeight()) > 0);
  await until('the step to run', async () => { await feed(); return (await coalmine.get(`/v1/rollouts/${id}`)).observed_valid_ms > 0; });

  await stop(coalmine.child, 'SIGKILL');
  assert.ok((await balancer.canaryWeight()) > 0);
  coalmine = await Coalmine.start(t, { dir, config });
  assert.equal((await coalmine.get(`/v1/rollouts/${id}`)).phase, 'progressing');
  feed.failing = true;
  const ended = await until('the rollback', async () => {
    await feed();
    const r = await coalmine.get(`/v1/rollouts/${id}`);
    return r.terminal && r;
  }, 30);
  assert.equal(ended.phase, 'rolled_back');
  assert.equal(await balancer.canaryWeight(), 0);
  assert.match(ended.reason, /error_rate/);
  // It stays so after one more restart, and it is told once more, not done once more.
  await stop(coalmine.child, 'SIGKILL');
  coalmine = await Coalmine.start(t, { dir, config });
  assert.equal((await coalmine.get(`/v1/rollouts/${id}`)).phase, 'rolled_back');

  await t.test('the command line tells the same', async () => {
    const status = await coalmine.run('rollout', 'status', 'shop');
    assert.equal(status.code, 1, status.output);
    assert.match(status.output, /ROLLED BACK/);
    assert.match(status.output, /error_rate/);
    const verdict = await coalmine.run('analyze', 'shop', '--canary-version', '2', '--stable-version', '1', '--output', 'json');
    assert.equal(verdict.code, 1, verdict.output);
    const parsed = JSON.parse(verdict.output);
    assert.equal(parsed.decision, 'rollback');
    assert.equal(parsed.results.error_rate.passed, false);
    assert.equal((await coalmine.run('analyze', 'nobody', '--canary-version', '2', '--stable-version', '1')).code, 4);
  });
});

test('an unreachable server is exit code 5', async (t) => {
  const [port] = await freePorts(1);
  const coalmine = new Coalmine();
  coalmine.t = t;
  coalmine.api = port;
  assert.equal((await coalmine.run('analyze', 'x', '--canary-version', '2', '--stable-version', '1')).code, 5);
});
