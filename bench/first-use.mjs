// ./dev bench first-use: five stock stacks behind a real HAProxy, at the SDKs' own export interval (60 s) and at 5 s, with steps of 3 minutes. A good
// release has to be promoted on schedule, a failing and a slow one rolled back; the server is stopped in the first step and killed in the second.
// SPDX-License-Identifier: Apache-2.0
import { kEnds, kStacks, missing, Shops } from '../tests/e2e/stacks.mjs';
import { row, sleep, table } from './systems.mjs';

const seconds = (ms) => `${Math.floor(ms / 60_000)}m${String(Math.round((ms % 60_000) / 1000)).padStart(2, '0')}s`;
const said = (text) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
const env = (name, otherwise) => process.env[`COALMINE_FIRST_USE_${name}`] ?? otherwise;

// Until every rollout has ended, or none can be on schedule any more.
async function watch(shops, stepMs) {
  const began = Date.now();
  const pending = [[stepMs * 0.5, 'SIGTERM'], [stepMs * 1.5, 'SIGKILL']];
  const before = {};
  for (;;) {
    const services = await shops.look();
    for (const s of services) {
      const step = s.rollout?.steps.filter((one) => one.started_ms > 0).length;
      const key = `${s.rollout?.phase} ${s.rollout?.condition ?? ''} step ${step}`;
      if (before[s.name] !== key) said(`${s.name}: ${key}: ${s.rollout?.reason}`);
      before[s.name] = key;
    }
    for (const s of services) s.paused = s.rollout?.phase === 'paused' ? s.paused ?? Date.now() : undefined;
    // Who pauses for a minute waits for a person.
    if (services.every((s) => s.ended || s.paused < Date.now() - 60_000) || Date.now() - began > stepMs * 5) return;
    if (pending.length > 0 && Date.now() - began > pending[0][0]) {
      const [, signal] = pending.shift();
      await shops.restart(signal);
      said(`the server was restarted after ${signal}`);
    }
    await sleep(1000);
  }
}

export async function firstUse(scoped) {
  const stacks = env('STACKS', Object.keys(kStacks).join()).split(',').filter((stack) => !missing(stack));
  const minutes = Number(env('MINUTES', 3));
  const rate = Number(env('RATE', 40));
  const steps = `[25% ${minutes}m, 50% ${minutes}m, 100%]`;
  const results = [];
  for (const every of env('EXPORTS', '60,5').split(',').map(Number)) {
    await scoped(async (t) => {
      said(`exports every ${every} s: ${stacks.join(', ')}`);
      const shops = await Shops.start(t, { stacks, rate, exportMs: every === 60 ? undefined : every * 1000, steps });
      said('all processes serve');
      await shops.reported(300);
      await shops.begin();
      said('all rollouts are started');
      await watch(shops, minutes * 60_000);
      for (const s of shops.services) results.push([s.stack, `${every} s`, s.release, s.rollout.phase, s.ended ? seconds(s.ended - s.began) : 'not ended', s.rollout.reason, s.rollout.phase === kEnds[s.release] ? 'yes' : '**no**']);
      if (process.env.COALMINE_FIRST_USE_LOGS) {
        for (const s of shops.services) said(`${s.name} ${JSON.stringify((await shops.coalmine.get(`/v1/rollouts/${s.rollout.id}`)).log)}`);
      }
    });
  }
  console.log(`\n## First use: ${rate} requests a second and service, steps ${steps}, the server stopped in the first step and killed in the second\n`);
  table('stack', 'exports every', 'release', 'end', 'after', 'reason', 'as it should be');
  for (const result of results) row(...result);
}
