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

// One whose proxies are written by a function of the port that it is to listen on: {socket, port, servers}.
export async function balancer(t, dir, proxies) {
  const [port] = await freePorts(1);
  const socket = path.join(dir, 'haproxy.sock');
  fs.writeFileSync(path.join(dir, 'haproxy.cfg'), `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
${proxies(port)}`);
  start(t, '/usr/sbin/haproxy', ['-db', '-f', path.join(dir, 'haproxy.cfg')]);
  await until('HAProxy', () => ask(socket, 'show info'));
  // Every server, and whether its health check succeeds.
  const servers = async () => {
    const rows = (await ask(socket, 'show stat')).split('\n').map((line) => line.split(','));
    return rows.filter((row) => row.length > 17 && !row[0].startsWith('#') && !['FRONTEND', 'BACKEND'].includes(row[1]))
      .map((row) => ({ backend: row[0], server: row[1], up: row[17] === 'UP' }));
  };
  return { socket, port, servers, ask: (line) => ask(socket, line) };
}

export async function haproxy(t, dir) {
  const [stable, canary] = await freePorts(2);
  for (const p of [stable, canary]) {
    const backend = http.createServer((_, response) => response.end('ok')).listen(p, '127.0.0.1');
    atEnd(t, () => backend.close());
  }
  const { socket } = await balancer(t, dir, (port) => `frontend f
  bind 127.0.0.1:${port}
  default_backend shop
backend shop
  server stable1 127.0.0.1:${stable} weight 19
  server canary1 127.0.0.1:${canary} weight 0
`);
  const weight = async (server) => Number((await ask(socket, `get weight shop/${server}`)).split(' ')[0]);
  return { socket, tell: (line) => ask(socket, line), canaryWeight: () => weight('canary1'), weights: async () => [await weight('canary1'), await weight('stable1')] };
}
