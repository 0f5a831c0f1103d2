// A backup of a running server and of a stopped one, restored and compared.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { binary, Coalmine, scratch, start, stop } from './harness.mjs';
import { requestCounters, spans } from './otlp.mjs';

const post = (coalmine, signal, type, body) => fetch(`http://127.0.0.1:${coalmine.http}/v1/${signal}`, { method: 'POST', headers: { 'content-type': type }, body });
const begin = Date.now() - 60_000;
const seen = async (coalmine) => ({
  points: await coalmine.query('http_server_request_total[10m]'),
  presence: (await coalmine.get('/v1/services')).services.length,
  failures: await coalmine.get('/v1/failures?service=checkout-service&track=canary&limit=1000'),
  rollouts: (await coalmine.get('/v1/rollouts')).rollouts.map((r) => [r.id, r.phase]),
});

test('a backup is restored by pointing --data at it', { timeout: 120_000 }, async (t) => {
  const dir = scratch(t);
  const coalmine = await Coalmine.start(t, { dir });
  for (let i = 0; i < 20; i += 1) {
    assert.equal((await post(coalmine, 'metrics', 'application/json', requestCounters('stable', '1', 100 + i, 0, begin + i * 1000, begin - 1000))).status, 200);
    assert.equal((await post(coalmine, 'traces', 'application/x-protobuf', spans(200, i + 1))).status, 200);
  }
  const before = await seen(coalmine);
  assert.ok(before.failures.failures.length > 0);

  const online = path.join(dir, 'online');
  const done = await coalmine.run('backup', online);
  assert.equal(done.code, 0, done.output);
  execFileSync('sha256sum', ['--quiet', '-c', 'SHA256SUMS'], { cwd: online });
  const again = await coalmine.run('backup', online);
  assert.equal(again.code, 2, again.output);
  assert.match(again.output, /not an empty directory/);
  // What comes after the copy is not in it.
  await post(coalmine, 'metrics', 'application/json', requestCounters('stable', '1', 500, 0, begin + 30_000, begin - 1000));

  await stop(coalmine.child);
  const offline = path.join(dir, 'offline');
  const copied = start(t, binary, ['backup', offline, '--data', path.join(dir, 'data')]);
  assert.equal((await copied.done).code, 0, copied.output);
  const sums = fs.readFileSync(path.join(offline, 'SHA256SUMS'), 'utf8');
  assert.match(sums, /journal\/rollouts\.db/);

  for (const [from, last] of [[online, 119], [offline, 500]]) {
    const home = scratch(t);
    fs.cpSync(from, path.join(home, 'data'), { recursive: true });
    const restored = await Coalmine.start(t, { dir: home });
    const after = await seen(restored);
    assert.equal(await restored.number('http_server_request_total{service_name!="checkout-service"}'), last);
    assert.deepEqual(after.failures, before.failures);
    assert.equal(after.presence, before.presence);
    assert.deepEqual(after.rollouts, before.rollouts);
    if (from === online) assert.deepEqual(after.points, before.points);
    assert.equal(await restored.counter('coalmine_store_damaged_total'), 0);
    await stop(restored.child);
  }
});
