// What the end-to-end tests share: a real coalmine on free ports with a data directory of its own, and children that are always stopped.
// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
export let binary = process.env.COALMINE_BINARY ?? path.join(root, 'build/release/coalmine');
// What is started from now on is this binary.
export const useBinary = (file) => { binary = file; };

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks again until check gives something truthy; fails with the last answer or error.
export async function until(what, check, seconds = 20, everyMs = 50) {
  const deadline = performance.now() + seconds * 1000;
  let last;
  while (performance.now() < deadline) {
    try {
      last = await check();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await wait(everyMs);
  }
  throw new Error(`waited ${seconds} s for ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
}

// Never the same port twice in a process: tests that run side by side must not take it from each other before it is listened on. Below the
// range that the system takes ports of outgoing connections from, for the same reason.
const given = new Set();
const free = (port) => new Promise((resolve) => {
  const server = net.createServer().once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
});
export async function freePorts(count) {
  const ports = [];
  while (ports.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (given.has(port)) continue;
    given.add(port);
    if (await free(port)) ports.push(port);
  }
  return ports;
}

// Cleans up when a test ends, the newest first: node:test runs its hooks in the order they were given, and so would take the
// directory from under a server that still runs.
const ends = new WeakMap();
export function atEnd(t, end) {
  if (ends.has(t)) return ends.get(t).push(end);
  const list = [end];
  ends.set(t, list);
  t.after(async () => {
    const failed = [];
    for (const f of list.reverse()) await Promise.resolve().then(f).catch((error) => failed.push(error));
    if (failed.length > 0) throw failed[0];
  });
}

export function scratch(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-e2e-'));
  atEnd(t, () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function start(t, command, args, env = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.output = '';
  child.stdout.on('data', (d) => (child.output += d));
  child.stderr.on('data', (d) => (child.output += d));
  child.done = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  atEnd(t, () => stop(child));
  return child;
}

export async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), 5000);
  await child.done;
  clearTimeout(late);
}

export class Coalmine {
  // options: config (YAML text), args (more flags), dir (data of an earlier server), env (of the server)
  static async start(t, options = {}) {
    const self = new Coalmine();
    self.t = t;
    self.dir = options.dir ?? scratch(t);
    [self.api, self.http, self.grpc] = options.ports ?? (await freePorts(3));
    const args = ['serve', '--data', path.join(self.dir, 'data'), '--listen', `:${self.api}`, '--otlp-http', `:${self.http}`, '--otlp-grpc', `:${self.grpc}`];
    if (options.config) {
      fs.writeFileSync(path.join(self.dir, 'coalmine.yaml'), options.config);
      args.push('--config', path.join(self.dir, 'coalmine.yaml'));
    }
    self.child = start(t, binary, [...args, ...(options.args ?? [])], options.env);
    await until('the server to be ready', async () => {
      if (self.child.exitCode !== null) throw new Error(`it ended: ${self.child.output}`);
      return (await fetch(`${self.url}/readyz`)).status === 200;
    }, 20, options.pollMs);
    return self;
  }
  get url() { return `http://127.0.0.1:${this.api}`; }
  get ports() { return [this.api, this.http, this.grpc]; }
  async query(query) {
    const response = await fetch(`${this.url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query }) });
    const body = await response.json();
    if (body.status !== 'success') throw new Error(`${query}: ${body.error}`);
    return body.data.result;
  }
  // The one number of a query, or undefined.
  async number(query) {
    const result = await this.query(query);
    return result.length === 1 ? Number(result[0].value[1]) : undefined;
  }
  async get(where) {
    const response = await fetch(this.url + where);
    if (!response.ok) throw new Error(`${where}: HTTP ${response.status} ${await response.text()}`);
    return response.json();
  }
  async post(where, body) {
    const response = await fetch(this.url + where, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${where}: HTTP ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }
  async metrics() { return (await fetch(`${this.url}/metrics`)).text(); }
  // The sum of all samples of one of the server's own metrics.
  async counter(name) {
    let sum = 0;
    for (const line of (await this.metrics()).split('\n')) if (line.startsWith(name)) sum += Number(line.split(' ').at(-1));
    return sum;
  }
  rssBytes() {
    return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))[1]) * 1024;
  }
  async run(...args) {
    const child = start(this.t, binary, [...args, '--server', this.url]);
    const { code } = await child.done;
    return { code, output: child.output };
  }
}

// The seed's panels, read from its file: [{title, queries: [{label, query}]}].
export function seedPanels() {
  const text = fs.readFileSync(path.join(root, 'demo/canary-dashboard-panels.yaml'), 'utf8');
  return text.split('\n  - title: ').slice(1).map((part) => ({
    title: /"([^"]+)"/.exec(part)[1],
    queries: part.split(/query: \|\n/).slice(1).map((q) => q.split(/\n\s*(?:#|- label)/)[0]),
  }));
}
