// ./dev bench soak [MINUTES]: what a server has in memory and on disk after hours of a busy service, with a clock that runs sixty times as fast.
// SPDX-License-Identifier: Apache-2.0
import { soak as run } from '../tests/e2e/soak.mjs';
import { row, table } from './systems.mjs';

const mb = (bytes) => (bytes / 2 ** 20).toFixed(0);

export async function soak(scoped, minutes) {
  const retention = '1h';
  console.log(`\n## Soak: ${minutes} h of 20 pods at 1 Hz, a rollout every 20 s, all pods replaced again and again; telemetry is kept for ${retention}\n`);
  table('hours', 'memory (RSS), MB', 'disk, MB', 'of it the journal, MB', 'series kept', 'rollouts so far', 'pods so far');
  let half = 0;
  // The most of each half hour: both rise between one upkeep and the next.
  let most = { rss: 0, disk: 0, series: 0 };
  const { ends, missed } = await scoped((t) => run(t, { hours: minutes, speed: 60, retention, seen: (s) => {
    for (const what of Object.keys(most)) most[what] = Math.max(most[what], s[what]);
    if (s.hours < half) return;
    row(half.toFixed(1), mb(most.rss), mb(most.disk), mb(s.journal), most.series, s.rollouts, s.pods);
    half += 0.5;
    most = { rss: 0, disk: 0, series: 0 };
  } }));
  console.log(`\nRollouts by how they ended: ${Object.entries(ends).map(([phase, count]) => `${count} ${phase}`).join(', ')}. Exports left out because the machine was too slow: ${(missed * 100).toFixed(1)} %`);
}
