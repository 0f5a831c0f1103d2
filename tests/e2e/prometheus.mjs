// A Prometheus beside coalmine: both get the same samples by remote write and are asked the same questions. It is Debian's, or the one that
// COALMINE_PROMETHEUS names.
// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { freePorts, scratch, start, until } from './harness.mjs';

const program = process.env.COALMINE_PROMETHEUS ?? 'prometheus';

// undefined when it is not installed; else its version, "2.42.0".
export function prometheusVersion() {
  const run = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return run.error ? undefined : /version (\d+\.\d+\.\d+)/.exec(run.stdout + run.stderr)?.[1];
}

export class Prometheus {
  // config: YAML text, "" for one that scrapes nothing.
  static async start(t, config = '') {
    const self = new Prometheus();
    const dir = scratch(t);
    const [port] = await freePorts(1);
    fs.writeFileSync(path.join(dir, 'prometheus.yml'), config);
    self.url = `http://127.0.0.1:${port}`;
    self.child = start(t, program, [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`,
      '--web.enable-remote-write-receiver', '--enable-feature=remote-write-receiver,promql-at-modifier,promql-negative-offset', '--log.level=warn']);
    await until('prometheus to be ready', async () => {
      if (self.child.exitCode !== null) throw new Error(`it ended: ${self.child.output}`);
      return (await fetch(`${self.url}/-/ready`)).status === 200;
    }, 30);
    return self;
  }
}

// when: {time} or {start, end, step} in seconds.
export async function ask(url, query, when) {
  const form = new URLSearchParams({ query, ...when });
  const answer = await fetch(`${url}/api/v1/${'start' in when ? 'query_range' : 'query'}`, { method: 'POST', body: form });
  return answer.json();
}

const number = (text) => Number(text.replace('Inf', 'Infinity'));

// Relative, with a floor: sums that cancel each other out differ in their last digits.
export function near(a, b, tolerance = 1e-6, floor = 1e-9) {
  const [x, y] = [number(a), number(b)];
  if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) return true;
  return Math.abs(x - y) <= tolerance * Math.max(Math.abs(x), Math.abs(y)) + floor;
}

const key = (metric) => JSON.stringify(Object.entries(metric).sort());
const shown = (metric) => `{${Object.entries(metric).map(([k, v]) => `${k}=${v}`).join(', ')}}`;

// "" when both answers say the same; else the first difference.
export function difference(theirs, ours) {
  if (theirs.status !== ours.status) return `theirs: ${theirs.error ?? 'an answer'}; ours: ${ours.error ?? 'an answer'}`;
  if (theirs.status === 'error') return theirs.errorType === ours.errorType ? '' : `theirs ${theirs.errorType}: ${theirs.error}; ours ${ours.errorType}: ${ours.error}`;
  if (theirs.data.resultType !== ours.data.resultType) return `theirs is a ${theirs.data.resultType}, ours a ${ours.data.resultType}`;
  if (!Array.isArray(theirs.data.result) || typeof theirs.data.result[1] === 'string') {
    return near(theirs.data.result[1], ours.data.result[1]) ? '' : `theirs ${theirs.data.result}, ours ${ours.data.result}`;
  }
  const byLabels = new Map(ours.data.result.map((s) => [key(s.metric), s]));
  if (byLabels.size !== ours.data.result.length) return 'ours has the same labels twice';
  for (const series of theirs.data.result) {
    const own = byLabels.get(key(series.metric));
    if (!own) return `ours lacks ${shown(series.metric)}`;
    byLabels.delete(key(series.metric));
    const [points, ownPoints] = [series.values ?? [series.value], own.values ?? [own.value]];
    if (points.length !== ownPoints.length) return `${shown(series.metric)}: theirs has ${points.length} points, ours ${ownPoints.length}`;
    for (const [i, [time, value]] of points.entries()) {
      if (time !== ownPoints[i][0]) return `${shown(series.metric)}: theirs at ${time}, ours at ${ownPoints[i][0]}`;
      if (!near(value, ownPoints[i][1])) return `${shown(series.metric)} at ${time}: theirs ${value}, ours ${ownPoints[i][1]}`;
    }
  }
  for (const extra of byLabels.values()) return `theirs lacks ${shown(extra.metric)}`;
  return '';
}
