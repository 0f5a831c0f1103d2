// A secret in every URL, token and password of a configuration, a server that repeats whatever it is asked, and a search for the secret
// in all that comes out: log, page's API, events, own metrics, files on disk, the command line.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { Coalmine, atEnd, binary, scratch, start, until } from './harness.mjs';

const secret = 'Hush4711';

// Answers with what it was asked, URL and headers included.
async function mirror(t, status) {
  const asked = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (d) => (body += d));
    request.on('end', () => {
      asked.push({ url: request.url, headers: request.headers, body });
      response.writeHead(status(asked.length), { 'content-type': 'text/plain' });
      response.end(`Cannot ${request.method} ${request.url} ${JSON.stringify(request.headers)}`);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }));
  return { asked, host: `127.0.0.1:${server.address().port}` };
}

function filesBelow(directory) {
  return fs.readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

test('no secret of a configuration is shown', { timeout: 120_000 }, async (t) => {
  const dir = scratch(t);
  const world = await mirror(t, () => 404);
  const hooks = await mirror(t, (n) => (n > 2 ? 200 : 500));
  const tokens = path.join(dir, 'token');
  fs.writeFileSync(tokens, `${secret}${secret}${secret}\n`);
  const env = { HUSH: secret, HUSH_URL: `http://${hooks.host}/hooks/${secret}` };
  const config = `
service: shop
steps: [5% 10m, 100%]
policy: { no_data: { grace: 1s } }
stores:
  prometheus:
    url: http://me:${secret}@${world.host}/p?token=${secret}
    bearer_token: env:HUSH
    headers: { X-Api-Key: ${secret} }
    retries: 0
telemetry: { endpoint: 'http://me:${secret}@${world.host}/c?token=${secret}' }
server: { operator_token: 'file:${tokens}', viewer_token: 'file:${tokens}', otlp_token: 'file:${tokens}' }
notify:
- webhook: { url: 'http://me:${secret}@${hooks.host}/x/${secret}?token=${secret}', secret: env:HUSH }
- slack: { webhook: env:HUSH_URL }
- slack: { webhook: 'http://127.0.0.1:1/services/${secret}' }
`;
  const file = path.join(dir, 'coalmine.yaml');
  const shown = [];
  const command = async (...args) => {
    const child = start(t, binary, args, env);
    const { code } = await child.done;
    shown.push([args.join(' ').replaceAll(secret, 'x'), child.output]);
    return code;
  };
  fs.writeFileSync(file, `${config}nonsense: 1\nrouter: { nginx: { url: 'http://me:${secret}@x' } }\n`);
  assert.equal(await command('check', file), 2);
  assert.equal(await command('check', '-o', 'json', file), 2);
  fs.writeFileSync(file, config);
  assert.equal(await command('check', file), 0);
  assert.equal(await command('check', '--explain', file), 0);

  for (const [name, value] of Object.entries(env)) process.env[name] = value;
  atEnd(t, () => Object.keys(env).forEach((name) => delete process.env[name]));
  const coalmine = await Coalmine.start(t, { config, dir, args: ['--log-level', 'debug'] });
  const authorization = `Bearer ${secret}${secret}${secret}`;
  const api = async (where, body) => {
    const response = await fetch(coalmine.url + where, {
      method: body ? 'POST' : 'GET', headers: { authorization, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    const text = await response.text();
    shown.push([where, text]);
    return text;
  };
  const stop = new AbortController();
  const events = fetch(`${coalmine.url}/v1/events`, { headers: { authorization }, signal: stop.signal }).then(async (response) => {
    for await (const chunk of response.body) shown.push(['events', Buffer.from(chunk).toString()]);
  }).catch(() => {});
  assert.match(await api('/v1/rollouts', { service: 'shop', canary_version: '2', stable_version: '1' }), /"id":1/);
  await api('/v1/analyze', { service: 'shop' });
  await api('/api/v1/query?query=up');
  // No router is asked, so the rollout begins; its store answers 404, which is told; then it pauses for want of data, which is told, too.
  await until('the notices', async () => {
    const rollout = JSON.parse(await api('/v1/rollouts/1'));
    const log = JSON.stringify(rollout.log ?? []);
    return log.includes(`notified http://${hooks.host}`) && log.includes('could not notify http://127.0.0.1:1') && world.asked.some((a) => a.url.startsWith('/c/'));
  }, 60, 300);
  for (const where of ['/v1/rollouts', '/v1/services', '/v1/status', '/v1/dashboards', '/v1/failures?service=shop', '/metrics']) await api(where);
  for (const args of [['rollout', 'status', 'shop'], ['rollout', 'list'], ['analyze', 'shop']])
    await command(...args, '--server', `http://me:${secret}@127.0.0.1:${coalmine.api}`, '--token-file', tokens);
  await command('rollout', 'list', '--server', `http://me:${secret}@127.0.0.1:1/?token=${secret}`, '--token-file', tokens);
  await command('analyze', '--service', 'shop', '--source', `http://me:${secret}@${world.host}/p?token=${secret}`);
  stop.abort();
  await events;
  coalmine.child.kill('SIGTERM');
  await coalmine.child.done;
  shown.push(['log', coalmine.child.output]);
  for (const one of filesBelow(path.join(dir, 'data'))) shown.push([one, fs.readFileSync(one, 'latin1')]);

  assert.ok(world.asked.some((a) => a.url.startsWith('/p/api/v1/') && a.url.includes(`token=${secret}`)), 'the store was asked with the secret');
  const log = shown.find(([where]) => where === 'log')[1];
  assert.match(log, /a notification was not delivered/);
  for (const [where, text] of shown) {
    const at = text.indexOf(secret.slice(0, 4));
    assert.ok(at < 0, `${where} holds a secret: ${text.slice(Math.max(0, at - 200), at + 60)}`);
  }

  // A webhook's receiver can tell that it is genuine, and when it was sent.
  const signed = hooks.asked.find((a) => a.url.startsWith('/x/'));
  const timestamp = signed.headers['x-coalmine-timestamp'];
  assert.equal(signed.headers['x-coalmine-signature'], `sha256=${createHmac('sha256', secret).update(`${timestamp}.${signed.body}`).digest('hex')}`);
  assert.ok(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300);
});
