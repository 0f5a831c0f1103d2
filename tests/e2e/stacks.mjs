// Five stock stacks behind a real HAProxy and one coalmine: for every stack a service with a good, a bad and a slow release, each with a stable
// and a canary process whose SDK is as it comes. The applications: tests/stacks/.
// SPDX-License-Identifier: Apache-2.0
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { balancer } from './haproxy.mjs';
import { atEnd, Coalmine, freePorts, root, scratch, start, stop, until } from './harness.mjs';

const installed = path.join(root, 'build/stacks');
const apps = path.join(root, 'tests/stacks');
const python = (...args) => [path.join(installed, 'python/bin/opentelemetry-instrument'), ...args];
const inPython = { PYTHONPATH: path.join(apps, 'python'), PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' };

// How each stack is started on a port, what tests/stacks/install.sh makes of it, and the programs without which it leaves it out.
export const kStacks = {
  flask: { command: () => python(path.join(installed, 'python/bin/python'), path.join(apps, 'python/flask_app.py')), env: inPython, made: 'python/bin/flask' },
  fastapi: {
    command: (port) => python(path.join(installed, 'python/bin/uvicorn'), 'fastapi_app:app', '--host', '127.0.0.1', '--port', port, '--no-access-log'),
    env: inPython, made: 'python/bin/uvicorn',
  },
  express: { command: () => [process.execPath, '--require', '@opentelemetry/auto-instrumentations-node/register', path.join(apps, 'express.cjs')] },
  spring: {
    command: () => ['java', `-javaagent:${path.join(installed, 'spring/agent.jar')}`, '-Xmx96m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-jar',
      path.join(installed, 'spring/shop.jar')],
    env: { SERVER_ADDRESS: '127.0.0.1', SPRING_MAIN_BANNER_MODE: 'off' },
    made: 'spring/agent.jar', programs: ['java', 'mvn'],
  },
  go: { command: () => [path.join(installed, 'go/shop')], made: 'go/shop', programs: ['go'] },
};
const here = (program) => process.env.PATH.split(':').some((dir) => fs.existsSync(path.join(dir, program)));
// Why a stack is left out, or undefined.
export function missing(stack) {
  const absent = (kStacks[stack].programs ?? []).filter((program) => !here(program));
  return absent.length > 0 ? `no ${absent.join(' and no ')} on this machine` : undefined;
}
export const kReleases = ['good', 'bad', 'slow'];
// How the rollout of each release has to end.
export const kEnds = { good: 'promoted', bad: 'rolled_back', slow: 'rolled_back' };

// Of the environment nothing that would change an SDK's defaults.
const none = Object.fromEntries(Object.keys(process.env).filter((key) => key.startsWith('OTEL_')).map((key) => [key, undefined]));

function launch(t, service, track, port, endpoint, exportMs) {
  const { command, env } = kStacks[service.stack];
  const [program, ...args] = command(String(port));
  return start(t, program, args, {
    ...none, ...env, PORT: String(port), SERVER_PORT: String(port), RELEASE: track === 'canary' ? service.release : 'good',
    OTEL_SERVICE_NAME: service.name,
    OTEL_RESOURCE_ATTRIBUTES: `service.version=${track === 'canary' ? '2.0.0' : '1.9.0'},deployment.track=${track}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    ...(exportMs ? { OTEL_METRIC_EXPORT_INTERVAL: String(exportMs) } : {}),
  });
}

// Random numbers that are the same in every run.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

// Requests of users: independent of each other and of the answers, so many a second for every service.
function load(t, port, services, rate) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1024 });
  const draw = random(14);
  const one = (service) => {
    const [id, kind] = [Math.floor(draw() * 10_000), draw()];
    const where = kind < 0.45 ? `/api/cart/${id}` : kind < 0.9 ? `/api/pay/${id}` : '/healthz';
    http.get({ host: '127.0.0.1', port, path: where, agent, headers: { host: service.name } }, (response) => response.resume()).on('error', () => {});
  };
  for (const service of services) service.next = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    for (const service of services) {
      // What a stall has left behind is not sent in one burst.
      if (service.next < now - 250) service.next = now;
      while (service.next < now) {
        one(service);
        service.next += (-Math.log(1 - draw()) * 1000) / rate;
      }
    }
  }, 10);
  atEnd(t, () => {
    clearInterval(timer);
    agent.destroy();
  });
}

// Every chosen stack with its three releases, running and under load. options: stacks, rate (requests a second and service), exportMs (nothing:
// the SDK's default), steps, more (YAML for every service).
export class Shops {
  static async start(t, { stacks, rate, exportMs, steps, more }) {
    for (const stack of stacks) {
      const { made } = kStacks[stack];
      if (made && !fs.existsSync(path.join(installed, made))) throw new Error(`build/stacks/${made} is missing: run tests/stacks/install.sh`);
    }
    const self = new Shops();
    self.t = t;
    self.dir = scratch(t);
    self.services = stacks.flatMap((stack) => kReleases.map((release) => ({ stack, release, name: `${stack}-${release}` })));
    const ports = await freePorts(self.services.length * 2);
    self.services.forEach((service, i) => Object.assign(service, { stable: ports[2 * i], canary: ports[2 * i + 1] }));
    self.balancer = await balancer(t, self.dir, (port) => `frontend f
  bind 127.0.0.1:${port}
  use_backend %[req.hdr(host)]
${self.services.map((s) => `backend ${s.name}
  server stable 127.0.0.1:${s.stable} weight 100 check
  server canary 127.0.0.1:${s.canary} weight 0 check
`).join('')}`);
    self.options = { dir: self.dir, config: `services:\n${self.services.map((s) => `  - service: ${s.name}
    steps: ${steps}
    router: { haproxy: { socket: ${self.balancer.socket}, backend: ${s.name}, stable: stable, canary: canary } }
${more ? `    ${more}\n` : ''}`).join('')}` };
    self.coalmine = await Coalmine.start(t, self.options);
    await self.#launch(exportMs);
    load(t, self.balancer.port, self.services, rate);
    return self;
  }
  async #launch(exportMs) {
    const endpoint = `http://127.0.0.1:${this.coalmine.http}`;
    const children = this.services.flatMap((service) => ['stable', 'canary'].map((track) => launch(this.t, service, track, service[track], endpoint, exportMs)));
    // All at once and without asking: Node's auto-instrumentation takes SIGTERM for itself and serves on.
    atEnd(this.t, () => Promise.all(children.map((child) => stop(child, 'SIGKILL'))));
    await until('every process to serve', async () => {
      const gone = children.find((child) => child.exitCode !== null);
      if (gone) throw new Error(`${gone.spawnargs.join(' ')} ended: ${gone.output.slice(-500)}`);
      const down = (await this.balancer.servers()).filter((server) => !server.up);
      return down.length === 0;
    }, 180, 500);
  }
  // A service's telemetry is there as soon as its requests are known.
  async reported(seconds) {
    return until('telemetry of every stable', async () => {
      const { services } = await this.coalmine.get('/v1/services');
      const seen = new Set(services.filter((s) => s.track === 'stable' && s.export_interval_ms > 0).map((s) => s.service));
      const silent = this.services.filter((s) => !seen.has(s.name)).map((s) => s.name);
      if (silent.length > 0) throw new Error(`nothing from ${silent.join(', ')}`);
      return true;
    }, seconds, 500);
  }
  // As a person starts them: the service's name, nothing else.
  async begin() {
    for (const service of this.services) {
      const { code, output } = await this.coalmine.run('rollout', 'start', service.name);
      if (code !== 0) throw new Error(`${service.name}: ${output}`);
      service.began = Date.now();
    }
  }
  // The newest state of every rollout, by the service's name; an end is kept with its time.
  async look() {
    const { rollouts } = await this.coalmine.get('/v1/rollouts');
    for (const service of this.services) {
      service.rollout = rollouts.find((r) => r.service === service.name);
      if (service.rollout?.terminal) service.ended ??= Date.now();
    }
    return this.services;
  }
  async restart(signal) {
    await stop(this.coalmine.child, signal);
    this.coalmine = await Coalmine.start(this.t, { ...this.options, ports: this.coalmine.ports });
  }
}
