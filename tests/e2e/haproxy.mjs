// A real HAProxy with a stable and a canary server, for tests that look at what reached the router.
// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { atEnd, freePorts, start, until } from './harness.mjs';

const ask = (socket, line) => new Promise((resolve, reject) => {
  const client = net.connect(socket, () => client.write(`${line}\n`));
  let text = '';
  client.on('data', (d) => (text += d)).on('error', reject).on('close', () => resolve(text));
});

export async function haproxy(t, dir) {
  const [port, stable, canary] = await freePorts(3);
  for (const p of [stable, canary]) {
    const backend = http.createServer((_, response) => response.end('ok')).listen(p, '127.0.0.1');
    atEnd(t, () => backend.close());
  }
  const socket = path.join(dir, 'haproxy.sock');
  fs.writeFileSync(path.join(dir, 'haproxy.cfg'), `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:${port}
  default_backend shop
backend shop
  server stable1 127.0.0.1:${stable} weight 19
  server canary1 127.0.0.1:${canary} weight 0
`);
  start(t, '/usr/sbin/haproxy', ['-db', '-f', path.join(dir, 'haproxy.cfg')]);
  await until('HAProxy', () => ask(socket, 'show info'));
  const weight = async (server) => Number((await ask(socket, `get weight shop/${server}`)).split(' ')[0]);
  return { socket, tell: (line) => ask(socket, line), canaryWeight: () => weight('canary1'), weights: async () => [await weight('canary1'), await weight('stable1')] };
}
