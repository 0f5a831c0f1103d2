// What accepts a connection and never answers: stopping does not wait for it, and it holds up nothing but itself.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import test from 'node:test';
import { Coalmine, atEnd, freePorts, scratch, until } from './harness.mjs';

// Listens on the port and never says a word. {connections, close}
async function silent(t, port) {
  const connections = new Set();
  const server = net.createServer((socket) => connections.add(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => { for (const socket of connections) socket.destroy(); server.close(resolve); });
  atEnd(t, close);
  return { connections, close };
}

// Seconds until the server has ended by itself.
async function stopped(coalmine) {
  const begin = performance.now();
  coalmine.child.kill('SIGTERM');
  const { code } = await coalmine.child.done;
  assert.equal(code, 0, coalmine.child.output);
  return (performance.now() - begin) / 1000;
}

test('stopping does not wait for a webhook that hangs, and the next start delivers', { timeout: 60_000 }, async (t) => {
  const dir = scratch(t);
  const [port] = await freePorts(1);
  const config = `service: shop\nsteps: [5% 10m, 100%]\nnotify:\n- webhook: { url: 'http://127.0.0.1:${port}/hook', events: [aborted] }\n`;
  const hook = await silent(t, port);
  const first = await Coalmine.start(t, { config, dir });
  const { id } = await first.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
  await first.post(`/v1/rollouts/${id}/abort`, { reason: 'no' });
  await until('the notice', () => hook.connections.size === 1);
  const took = await stopped(first);
  assert.ok(took < 2, `it took ${took} s`);
  await hook.close();

  const told = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (d) => (body += d)).on('end', () => { told.push(JSON.parse(body)); response.end(); });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  atEnd(t, () => { server.closeAllConnections(); server.close(); });
  const second = await Coalmine.start(t, { config, dir });
  const { log } = await until('the notice is delivered', async () => {
    const rollout = await second.get(`/v1/rollouts/${id}`);
    return rollout.log.some((line) => line.text.startsWith('notified')) && rollout;
  });
  assert.deepEqual(told.map((body) => [body.event, body.rollout.id]), [['aborted', id]]);
  assert.deepEqual(log.filter((line) => line.text.includes('could not notify')), [], 'that it was cut off is no failure of the webhook');
});

test('stopping does not wait for a source that hangs, nor for who asks it', { timeout: 60_000 }, async (t) => {
  const [port] = await freePorts(1);
  const store = await silent(t, port);
  const config = `service: shop\nsteps: [5% 10m, 100%]\ninterval: 1s\nstores: { prometheus: { url: 'http://127.0.0.1:${port}' } }\n`;
  const coalmine = await Coalmine.start(t, { config });
  await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
  const asked = coalmine.post('/v1/analyze', { service: 'shop' }).catch((error) => error);
  await until('both ask', () => store.connections.size >= 2);
  const took = await stopped(coalmine);
  assert.ok(took < 2, `it took ${took} s`);
  await asked;
});

test('starts whose router hangs hold up no other request', { timeout: 60_000 }, async (t) => {
  const [port] = await freePorts(1);
  const router = await silent(t, port);
  const dead = Array.from({ length: 6 }, (_, i) => `service: dead${i}\nrouter: { haproxy: { socket: '127.0.0.1:${port}', backend: dead${i}, stable: s1, canary: c1, timeout: 20s } }\n`);
  const coalmine = await Coalmine.start(t, { config: [...dead, 'service: shop\nrouter: observe\n'].map((one) => `${one}steps: [5% 10m, 100%]\n`).join('---\n') });
  const hang = dead.map((_, i) => coalmine.post('/v1/rollouts', { service: `dead${i}`, canary_version: '2', stable_version: '1' }).catch((error) => error));
  await until('the router is asked', () => router.connections.size > 0);
  const begin = performance.now();
  const { id } = await coalmine.post('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' });
  const { phase } = await coalmine.post(`/v1/rollouts/${id}/abort`, { reason: 'no' });
  const { rollouts } = await coalmine.get('/v1/rollouts');
  const seconds = (performance.now() - begin) / 1000;
  assert.equal(rollouts.length, 1, 'the others have not begun');
  assert.match(phase, /rolling_back|aborted/);
  assert.ok(seconds < 5, `the others took ${seconds} s`);
  const took = await stopped(coalmine);
  assert.ok(took < 3, `it took ${took} s`);
  await Promise.all(hang);
});
