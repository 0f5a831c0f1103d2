// A full disk: telemetry is refused in a way that senders repeat, rollouts and rollback go on, and it ends by itself with the cause.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { haproxy } from './haproxy.mjs';
import { atEnd, Coalmine, scratch, stop, until } from './harness.mjs';
import { requestCounters } from './otlp.mjs';

// A file system of its own; only root can make one.
function smallDisk(t, dir, megabytes) {
  const where = path.join(dir, 'data');
  fs.mkdirSync(where);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', where], { stdio: 'ignore' });
  } catch {
    return false;
  }
  atEnd(t, () => execFileSync('umount', ['-l', where]));
  return true;
}

// Called again and again: the journal gives its reserved space back when it cannot write, and that is to be taken too.
const ballast = (dir, leaveBytes) => {
  const file = fs.openSync(path.join(dir, 'data/ballast'), 'a');
  const block = Buffer.alloc(64 * 1024, 1);
  const free = () => { const s = fs.statfsSync(path.join(dir, 'data')); return s.bavail * s.bsize; };
  try {
    while (free() > leaveBytes) fs.writeSync(file, block);
  } catch (error) {
    assert.equal(error.code, 'ENOSPC');
  }
  fs.closeSync(file);
};

for (const { name, left, reserve } of [{ name: 'within the reserve', left: 16 << 20, reserve: '32MiB' }, { name: 'to the last byte', left: 0, reserve: '0' }]) {
  test(`a disk that is full ${name}`, { timeout: 120_000 }, async (t) => {
    const dir = scratch(t);
    if (!smallDisk(t, dir, 128)) return t.skip('a small file system can only be made as root');
    const balancer = await haproxy(t, dir);
    const config = `server: { disk_reserve: ${reserve} }
service: shop
steps: [5% 60s, 100%]
interval: 500ms
analysis: { analysis_window: 60s }
router:
  haproxy: { socket: ${balancer.socket}, backend: shop, stable: stable1, canary: canary1 }
`;
    let coalmine = await Coalmine.start(t, { dir, config });
    const begin = Date.now();
    let count = 0;
    const send = async (track, version, value) => (await fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: requestCounters(track, version, value, 0, Date.now(), begin),
    })).status;
    const feed = async () => {
      count += 10;
      const answers = [await send('stable', '1', count * 19), await send('canary', '2', count)];
      return answers.every((status) => status === 200);
    };
    assert.ok(await feed());
    const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
    await until('5 % in the router', async () => (await balancer.canaryWeight()) > 0);
    await feed();
    const before = await coalmine.number('sum(http_server_request_total)');

    await until('telemetry to be refused', async () => ballast(dir, left) ?? (await send('stable', '1', (count += 10) * 19)) === 503);
    assert.equal((await fetch(`${coalmine.url}/healthz`)).status, 200);
    assert.ok((await coalmine.number('sum(http_server_request_total)')) >= before, 'what is stored can be read');
    const aborted = await coalmine.run('rollout', 'abort', 'shop');
    assert.equal(aborted.code, 0, aborted.output);
    await until('the rollback', async () => (await coalmine.get(`/v1/rollouts/${id}`)).terminal);
    assert.equal(await balancer.canaryWeight(), 0);

    fs.rmSync(path.join(dir, 'data/ballast'));
    await until('telemetry to be taken again', feed);
    if (coalmine.child.output.includes('the journal cannot be written'))
      await until('the journal to be written again', () => coalmine.child.output.includes('the journal can be written again'));
    await until('space to be reserved for the next time', () => fs.existsSync(path.join(dir, 'data/journal/reserve')));
    const last = count * 20;
    assert.equal(await coalmine.number('sum(http_server_request_total)'), last);
    await stop(coalmine.child, 'SIGKILL');
    coalmine = await Coalmine.start(t, { dir, config });
    assert.equal(await coalmine.number('sum(http_server_request_total)'), last);
    assert.ok((await coalmine.get(`/v1/rollouts/${id}`)).terminal);
    assert.equal(await coalmine.counter('coalmine_store_damaged_total'), 0);
  });
}
