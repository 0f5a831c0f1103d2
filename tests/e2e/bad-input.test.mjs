// Bad input gets a clear answer, is counted, costs nothing that stays, and nothing good is lost.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import zlib from 'node:zlib';
import { Coalmine, until } from './harness.mjs';

const send = (coalmine, { path = '/v1/metrics', type = 'application/json', body = '{}', method = 'POST', headers = {} } = {}) =>
  fetch(`http://127.0.0.1:${coalmine.http}${path}`, { method, headers: { 'content-type': type, ...headers }, body: method === 'POST' ? body : undefined });

// Raw bytes to a port; what comes back until the other side closes or a second passes.
const raw = (port, bytes) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
  const chunks = [];
  socket.on('data', (d) => chunks.push(d));
  socket.on('error', () => {});
  socket.setTimeout(1500, () => socket.destroy());
  socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
});

const gauge = (value, time = Date.now()) => JSON.stringify({
  resourceMetrics: [{
    resource: { attributes: [{ key: 'service.name', value: { stringValue: 'good' } }] },
    scopeMetrics: [{ metrics: [{ name: 'kept', gauge: { dataPoints: [{ asDouble: value, timeUnixNano: `${time}000000` }] } }] }],
  }],
});

test('bad input', { timeout: 120_000 }, async (t) => {
  const coalmine = await Coalmine.start(t);
  assert.equal((await send(coalmine, { body: gauge(7) })).status, 200);

  await t.test('truncated protobuf and JSON are 400 with a google.rpc.Status', async () => {
    const answer = await send(coalmine, { body: '{"resourceMetrics": [' });
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.ok((await answer.json()).message.length > 10);
    assert.equal((await send(coalmine, { type: 'application/x-protobuf', body: Buffer.from([0x0a, 0x7f, 1]) })).status, 400);
  });
  await t.test('a wrong type is 415, a wrong method 405, a wrong path 404 that names the right ones', async () => {
    assert.equal((await send(coalmine, { type: 'text/plain' })).status, 415);
    assert.equal((await send(coalmine, { method: 'GET' })).status, 405);
    const lost = await send(coalmine, { path: '/v1/metric' });
    assert.equal(lost.status, 404);
    assert.match(await lost.text(), /\/v1\/metrics/);
  });
  await t.test('a body over the limit is 413', async () => {
    const answer = await send(coalmine, { type: 'application/x-protobuf', body: Buffer.alloc(65 * 2 ** 20) }).catch((e) => e);
    // The server may close while the client still writes; then the client sees a reset instead of the answer.
    assert.ok(answer instanceof Error || answer.status === 413, `${answer.status}`);
  });
  await t.test('a gzip bomb is refused and memory stays flat', async () => {
    const bomb = zlib.gzipSync(Buffer.alloc(256 * 2 ** 20));
    const before = coalmine.rssBytes();
    for (let i = 0; i < 5; i += 1) {
      const answer = await send(coalmine, { type: 'application/x-protobuf', body: bomb, headers: { 'content-encoding': 'gzip' } });
      assert.equal(answer.status, 413);
    }
    assert.ok(coalmine.rssBytes() - before < 150 * 2 ** 20, `grew by ${(coalmine.rssBytes() - before) >> 20} MiB`);
  });
  await t.test('an unknown encoding is 400', async () => {
    assert.equal((await send(coalmine, { headers: { 'content-encoding': 'lzma' } })).status, 400);
  });
  await t.test('HTTP on the gRPC port and gRPC on the HTTP port are told so', async () => {
    assert.match(await raw(coalmine.grpc, 'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'), /^HTTP\/1\.1 400[\s\S]*gRPC/);
    assert.match(await raw(coalmine.http, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x01\x05\x00\x00\x00\x01h'), /gRPC/);
  });
  await t.test('garbage on both ports does not disturb', async () => {
    await raw(coalmine.grpc, Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256)));
    await raw(coalmine.http, Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 104729) % 256)));
    assert.equal((await send(coalmine, { body: gauge(8, Date.now() + 5) })).status, 200);
  });
  await t.test('everything was counted and nothing good was lost', async () => {
    assert.ok((await coalmine.counter('coalmine_otlp_requests_total')) >= 12);
    assert.ok((await coalmine.counter('coalmine_net_rejected_total')) >= 2);
    await until('the good points', async () => (await coalmine.number('kept')) === 8);
  });
});
