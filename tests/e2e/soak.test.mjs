// Nothing grows for ever: hours of a busy service, with a clock that runs faster, leave as much in memory and on disk as the hours before.
// ./dev bench soak does the same for longer and shows the series.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.mjs';

test('once what is kept is full, memory and disk stay as they are', { timeout: 150_000 }, async (t) => {
  const series = [];
  const { ends } = await soak(t, { hours: 3, speed: 150, exportSeconds: 3, retention: '30m', seen: (sample) => series.push(sample) });
  const shown = series.map((s) => `${s.hours.toFixed(2)} h: ${(s.rss / 2 ** 20).toFixed(0)} MB, disk ${(s.disk / 2 ** 20).toFixed(0)} MB, ${s.series} series`).join('\n');
  t.diagnostic(shown);
  // The mean of an hour: all rise between one upkeep and the next. What grew for ever would be 1.67 times as much in the third hour as in the second.
  const mean = (what, hour) => {
    const of = series.filter(({ hours }) => Math.floor(hours) === hour);
    return of.reduce((sum, sample) => sum + sample[what], 0) / of.length;
  };
  for (const what of ['rss', 'disk', 'series']) assert.ok(mean(what, 2) < 1.3 * mean(what, 1), `${what} grows\n${shown}`);
  // It was a busy time, however slow the machine.
  for (const phase of ['promoted', 'aborted']) assert.ok(ends[phase] >= 10, JSON.stringify(ends));
});
