// What a newcomer meets first: a canary that has sent nothing yet, telemetry that comes to the wrong place, a router that is not there.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { Coalmine, scratch, until } from './harness.mjs';

// Requests of one process so far, as OTLP/JSON.
const exported = (track, version, requests) => JSON.stringify({
  resourceMetrics: [{
    resource: {
      attributes: Object.entries({ 'service.name': 'shop', 'deployment.track': track, 'service.version': version, 'service.instance.id': `${track}-${version}` })
        .map(([key, stringValue]) => ({ key, value: { stringValue } })),
    },
    scopeMetrics: [{ metrics: [{ name: 'http.server.requests', sum: {
      aggregationTemporality: 2, isMonotonic: true,
      dataPoints: [{ asInt: `${requests}`, startTimeUnixNano: `${began}000000`, timeUnixNano: `${Date.now()}000000` }],
    } }] }],
  }],
});
const began = Date.now() - 1000;

const send = (coalmine, body) => fetch(`http://127.0.0.1:${coalmine.http}/v1/metrics`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });

// Raw bytes to a port; what comes back until the other side closes.
const raw = (port, bytes) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
  let out = '';
  socket.on('data', (d) => (out += d.toString('latin1')));
  socket.on('error', () => {});
  socket.setTimeout(5000, () => socket.destroy());
  socket.on('close', () => resolve(out));
});

// One gRPC call with a real HTTP/2 client; its headers.
const grpc = (port) => new Promise((resolve, reject) => {
  const session = http2.connect(`http://127.0.0.1:${port}`).on('error', reject);
  const call = session.request({ ':method': 'POST', ':path': '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'content-type': 'application/grpc', te: 'trailers' });
  call.on('error', reject).on('response', (headers) => { resolve(headers); session.destroy(); });
  call.end(Buffer.alloc(5));
});

test('a canary that was not seen yet is waited for, and its version is learned', { timeout: 40_000 }, async (t) => {
  const coalmine = await Coalmine.start(t, { config: 'service: shop\nrouter: observe\nsteps: [5% 10m, 100%]\n' });
  await send(coalmine, exported('stable', '2.3.0', 10));
  const started = await coalmine.run('rollout', 'start', 'shop');
  assert.equal(started.code, 0, started.output);
  assert.match(started.output, /^Rollout 1 of shop started: canary of the version that reports first \(seen so far: none\) against stable 2\.3\.0 \(last seen .* ago\), step 1 of 2 watches what is planned for 5%\.$/m);
  const waiting = await until('the rollout to wait', async () => {
    const r = await coalmine.get('/v1/rollouts/1');
    return r.condition === 'awaits_telemetry' && r;
  });
  assert.match(waiting.reason, /^Waiting for the first telemetry of (the canary; versions seen: none|stable since the weight was set; versions seen: 2\.3\.0 )/);
  assert.match((await coalmine.run('rollout', 'status', 'shop')).output, /WAITING for telemetry at 5%/);

  let requests = 10;
  const known = await until('both versions to be known', async () => {
    requests += 10;
    await send(coalmine, exported('stable', '2.3.0', requests));
    await send(coalmine, exported('canary', '2.4.0', requests));
    const r = await coalmine.get('/v1/rollouts/1');
    return r.canary_version === '2.4.0' && r.condition === 'none' && r.judgement && r;
  }, 20, 200);
  assert.ok(known.log.some((line) => line.kind === 'version' && line.text === 'canary reports as version 2.4.0'), JSON.stringify(known.log));
  assert.equal(known.judgement.canary_version, '2.4.0');
  const verdict = JSON.parse((await coalmine.run('analyze', 'shop', '-o', 'json')).output);
  assert.equal(verdict.canary_version, '2.4.0');
  assert.equal(verdict.stable_version, '2.3.0');
});

test('telemetry that cannot arrive is answered, logged once a sender, and shown', { timeout: 40_000 }, async (t) => {
  const coalmine = await Coalmine.start(t);
  const tls = Buffer.from('16030100050100000100', 'hex');
  for (let i = 0; i < 3; i += 1) {
    for (const port of [coalmine.http, coalmine.api]) {
      const answer = await grpc(port);
      assert.equal(answer['grpc-status'], '12');
      assert.match(answer['grpc-message'], /OTLP\/gRPC port, 4317 by default/);
    }
    assert.match(await raw(coalmine.grpc, 'POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'), /^HTTP\/1\.1 400[\s\S]*4318/);
    for (const port of coalmine.ports) assert.match(await raw(port, tls), /^HTTP\/1\.1 400[\s\S]*TLS/);
    const lost = await fetch(`${coalmine.url}/v1/metrics`, { method: 'POST', headers: { 'content-type': 'application/x-protobuf' }, body: Buffer.alloc(3) });
    assert.equal(lost.status, 404);
    assert.match(await lost.text(), /OTLP\/HTTP port, 4318/);
  }
  const { misdirected } = await coalmine.get('/v1/services');
  assert.deepEqual(misdirected.map((m) => [m.listener, m.address, m.count]).sort(), [
    ['api', '127.0.0.1', 3], ['api', '127.0.0.1', 3], ['api', '127.0.0.1', 3],
    ['otlp_grpc', '127.0.0.1', 3], ['otlp_grpc', '127.0.0.1', 3], ['otlp_http', '127.0.0.1', 3], ['otlp_http', '127.0.0.1', 3],
  ]);
  assert.deepEqual((await coalmine.get('/v1/status')).misdirected.length, 7);
  assert.equal(coalmine.child.output.match(/telemetry comes where it cannot be taken/g)?.length, 7);
});

test('a router that is not there is a state with an exit code of its own', { timeout: 40_000 }, async (t) => {
  const socket = path.join(scratch(t), 'no-haproxy.sock');
  const coalmine = await Coalmine.start(t, {
    config: `service: shop\nrouter: haproxy:${socket}#shop\nsteps: [5% 10m, 100%]\n`,
  });
  const { code, output } = await coalmine.run('rollout', 'start', 'shop', '--wait', '--timeout', '3s');
  assert.equal(code, 6, output);
  assert.match(output, /The canary could not be set to 5%: .*no-haproxy\.sock.*; it is tried again until the router does it/);
  assert.match(output, /The server goes on trying/);
  const rollout = await coalmine.get('/v1/rollouts/1');
  assert.equal(rollout.condition, 'router_failing');
  assert.equal(coalmine.child.output.match(/a rollout waits/g)?.length, 1, coalmine.child.output);
  const status = await coalmine.run('rollout', 'status', 'shop');
  assert.equal(status.code, 6);
  assert.match(status.output, /ROUTER FAILS/);
});
