// Nothing grows for ever: hours of a busy service, with a clock that runs faster, leave as much in memory and on disk as the hours before.
// ./dev bench soak does the same for longer and shows the series.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.mjs';

test('once the hour in memory is full, memory and disk stay as they are', { timeout: 150_000 }, async (t) => {
  const series = [];
  const { ends } = await soak(t, { hours: 2.5, speed: 120, exportSeconds: 2, retention: '1h', seen: (sample) => series.push(sample) });
  const shown = series.map(({ hours, rss, disk }) => `${hours.toFixed(2)} h: ${(rss / 2 ** 20).toFixed(0)} MB, disk ${(disk / 2 ** 20).toFixed(0)} MB`).join('\n');
  t.diagnostic(shown);
  // The most of half an hour each: both rise between one upkeep and the next.
  const most = (what, from, to) => Math.max(...series.filter(({ hours }) => hours >= from && hours < to).map((sample) => sample[what]));
  assert.ok(most('rss', 2, 3) < 1.25 * most('rss', 1.5, 2), `memory grows\n${shown}`);
  assert.ok(most('disk', 2, 3) < 1.3 * most('disk', 1.5, 2), `disk grows\n${shown}`);
  // It was a busy time.
  assert.ok(series.at(-1).rollouts > 200, `${series.at(-1).rollouts} rollouts`);
  for (const phase of ['promoted', 'rolled_back', 'aborted']) assert.ok(ends[phase] > 10, JSON.stringify(ends));
});
