// What a person does with a rollout from the command line, against a real HAProxy.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { haproxy } from './haproxy.mjs';
import { Coalmine, scratch, until } from './harness.mjs';

const phase = (coalmine, id, wanted) => until(`rollout ${id} to be ${wanted}`, async () => {
  const r = await coalmine.get(`/v1/rollouts/${id}`);
  return r.phase === wanted && r;
});

async function shop(t) {
  const dir = scratch(t);
  const router = await haproxy(t, dir);
  const config = `service: shop
router: { haproxy: { socket: ${router.socket}, backend: shop, stable: [stable1], canary: canary1 } }
steps: [5% 10m, 50% 10m, 100%]
notify: [ { webhook: { url: "http://127.0.0.1:9/hook", secret: env:SHOP_HOOK_SECRET } } ]
`;
  process.env.SHOP_HOOK_SECRET = 'very-secret';
  return { router, coalmine: await Coalmine.start(t, { dir, config }) };
}

test('promoted at once, taken back, tried again', { timeout: 60_000 }, async (t) => {
  const { router, coalmine } = await shop(t);
  await coalmine.run('rollout', 'start', 'shop', '--version', '2', '--stable-version', '1');
  await until('5 %', async () => (await router.canaryWeight()) > 0);

  const early = await coalmine.run('rollout', 'undo', 'shop');
  assert.equal(early.code, 2, early.output);
  assert.match(early.output, /undo takes back what was promoted; abort ends what runs/);
  assert.equal((await coalmine.run('rollout', 'promote', 'shop', '--full')).code, 2, 'it needs a reason');
  const pushed = await until('the first step', async () => {
    const r = await coalmine.run('rollout', 'promote', 'shop', '--full', '--reason', 'hotfix');
    return r.code === 0 && r;
  });
  assert.match(pushed.output, /shop +1 → 2/);
  const promoted = await phase(coalmine, 1, 'promoted');
  assert.equal(promoted.reason, 'shop 2 was promoted by hand (steps 1, 2 of 3 skipped) and has all the traffic.');
  assert.equal((await router.weights())[1], 0, 'stable has none');

  const abort = await coalmine.run('rollout', 'abort', 'shop');
  assert.equal(abort.code, 2);
  assert.match(abort.output, /has ended: promoted; undo takes it back/);
  assert.equal((await coalmine.run('rollout', 'retry', 'shop')).code, 2, 'what was promoted is not tried again');
  await router.tell('set server shop/stable1 state maint');
  const nowhere = await coalmine.run('rollout', 'undo', 'shop');
  assert.equal(nowhere.code, 2, nowhere.output);
  assert.match(nowhere.output, /cannot be taken back: no stable server is up: HAProxy reports stable1 out of rotation in backend shop/);
  const sick = await coalmine.run('doctor', 'shop');
  assert.match(sick.output, /^ {2}✖ no stable server is up: /m);
  await router.tell('set server shop/stable1 state ready');
  const undone = await coalmine.run('rollout', 'undo', 'shop', '--reason', 'wrong invoices');
  assert.equal(undone.code, 0, undone.output);
  const back = await phase(coalmine, 1, 'rolled_back');
  assert.match(back.reason, /^Taken back by .* after its promotion: wrong invoices$/);
  assert.equal(await router.canaryWeight(), 0);
  assert.equal((await coalmine.run('rollout', 'status', 'shop')).code, 1);
  assert.equal((await coalmine.run('rollout', 'undo', 'shop')).code, 0, 'so already');

  const again = await coalmine.run('rollout', 'retry', 'shop');
  assert.equal(again.code, 0, again.output);
  assert.match(again.output, /Rollout 2 of shop started: canary 2.* against stable 1/);
  const twice = await coalmine.run('rollout', 'retry', 'shop');
  assert.equal(twice.code, 2, twice.output);
  assert.match(twice.output, /only one that has ended is tried again/);
});

test('doctor and config show say what the server knows, and no secret', { timeout: 60_000 }, async (t) => {
  const { router, coalmine } = await shop(t);
  const first = await coalmine.run('doctor');
  assert.equal(first.code, 3, first.output);
  assert.match(first.output, /^ {2}✔ coalmine \S+ answers on 127\.0\.0\.1:\d+, OTLP on 127\.0\.0\.1:\d+ \(gRPC\) and 127\.0\.0\.1:\d+ \(HTTP\)$/m);
  assert.match(first.output, /^ {2}✖ nothing has come from stable$/m);
  assert.match(first.output, /^ {2}○ nothing has come from canary$/m);
  assert.match(first.output, /^ {2}✔ the router, .*haproxy\.sock.*, gives the canary 0%$/m);
  const json = JSON.parse((await coalmine.run('doctor', 'shop', '-o', 'json')).output);
  assert.ok(json.findings.some((f) => f.state === 'wrong' && f.about === 'shop'));

  const shown = await coalmine.run('config', 'show', 'shop');
  assert.equal(shown.code, 0, shown.output);
  assert.match(shown.output, /^Steps: 5% for 10m, then 50% for 10m, then 100%\..*step says otherwise\)\.$/m);
  assert.match(shown.output, /^No telemetry for 5m: .* \[default\]$/m);
  assert.match(shown.output, /^Traffic moves through HAProxy at [^[]*\.$/m, 'what is chosen is no default');
  const raw = await (await fetch(`${coalmine.url}/v1/config`)).text();
  assert.equal(JSON.parse(raw).services[0].spec.steps.length, 3);
  for (const text of [shown.output, raw]) assert.doesNotMatch(text, /very-secret/);
  assert.equal((await coalmine.run('config', 'show', 'shpo')).code, 2);
  assert.equal(await router.canaryWeight(), 0, 'looking moves nothing');
});
