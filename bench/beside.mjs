// ./dev bench --beside BINARY [store] [query] [looks]: this binary and another one in turn, and the ratio of what they cost.
// A pair runs within a few minutes, so that what slows the machine slows both; the ratio is the median over the pairs.
// COALMINE_BENCH_PAIRS says how many (default 8).
// SPDX-License-Identifier: Apache-2.0
import { binary, useBinary } from '../tests/e2e/harness.mjs';
import { lookCosts } from './looks.mjs';
import { history, oneSystem } from './query.mjs';
import { oneStore } from './store.mjs';
import { row, table } from './systems.mjs';

// Each gives CPU costs by name; less is better.
const pieces = {
  store: async (t) => {
    const r = await oneStore(t, 'coalmine', 200, 20, 120);
    return { 'store: CPU us a point, first export': (r.first * 1e6) / (200 * 20 * 3), 'store: CPU us a point, after it': 1e6 / r.points, 'store: memory, bytes a presented series': r.memory };
  },
  query: async (t) => {
    const { found } = await oneSystem(t, 'coalmine', 20, 21, history(20 * 21), Date.now() - 3_585_000);
    return Object.fromEntries(found.map((q) => [`query: ${q.title}, CPU ms`, q.cpu]));
  },
  looks: async (t) => {
    const sum = { looking: 0, deciding: 0, others: 0 };
    let looks = 0;
    await lookCosts(t, 1000, 50, 4, (i, spent) => {
      if (i === 1) return; // makes the rollouts and their series
      looks += spent.looks;
      for (const name of Object.keys(sum)) sum[name] += spent[name];
    });
    return { 'looks: looking, CPU us a look': (sum.looking * 1e6) / looks, 'looks: deciding and journal, CPU us a look': (sum.deciding * 1e6) / looks,
      'looks: telemetry in, CPU s': sum.others };
  },
};

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

export async function beside(scoped, other, chosen) {
  const pairs = Number(process.env.COALMINE_BENCH_PAIRS ?? 8);
  const ours = binary;
  console.log(`\n## This binary beside ${other}: medians of ${pairs} pairs\n`);
  table('what', 'this', 'the other', 'ratio (its middle half)');
  for (const name of chosen.length ? chosen : Object.keys(pieces)) {
    if (!pieces[name]) throw new Error(`'${name}' is not measured beside another binary: ${Object.keys(pieces).join(' ')}`);
    const seen = { ours: [], other: [] };
    for (let i = 0; i < pairs; i += 1) {
      // Whoever is first of a pair changes, since the second finds warm caches.
      for (const who of i % 2 ? ['ours', 'other'] : ['other', 'ours']) {
        useBinary(who === 'ours' ? ours : other);
        seen[who].push(await scoped(pieces[name]));
      }
    }
    for (const what of Object.keys(seen.ours[0])) {
      const [a, b] = [seen.ours, seen.other].map((list) => list.map((r) => r[what]));
      const ratios = a.map((value, i) => value / b[i]).sort((x, y) => x - y);
      row(what, median(a).toPrecision(4), median(b).toPrecision(4), `${median(ratios).toFixed(3)} (${ratios[ratios.length >> 2].toFixed(2)} to ${ratios[(ratios.length * 3) >> 2].toFixed(2)})`);
    }
  }
  useBinary(ours);
}
