// docs/getting-started.md, followed word by word, once for each language.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { binary, root, scratch } from './harness.mjs';
import { go, has, java, nodejs, python } from './packages.mjs';
import { blocks, shows, Terminal } from './page.mjs';

const page = blocks(path.join(root, 'docs/getting-started.md'));
const languages = {
  Python: { packages: python, needs: ['python3'] },
  'Node.js': { packages: nodejs, needs: ['npm'] },
  Java: { packages: java, needs: ['javac', 'mvn'] },
  Go: { packages: go, needs: ['go'] },
  '.NET': { skip: 'there is no .NET in Debian 12, so nothing here could run it' },
  'OpenTelemetry Collector': { skip: 'there is no Collector in Debian 12; its part of the page is an addition to a file of the reader' },
};

// The commands of the page that end with another exit code than 0, and how the page explains it.
const failing = {
  'coalmine analyze shop: 1': 'its verdict is rollback',
  'coalmine rollout start shop --version 2.4.0 --wait: 1': 'it was rolled back',
  'wait $canary: 143': 'it was stopped by SIGTERM',
  'wait $canary: 130': 'it was stopped, and says so its own way',
};

// The page as it stands, but for the build (this binary is built), one path outside the folder, and the six minutes of the promotion
// at its end: that rollout only begins. COALMINE_WHOLE_PAGE=1 waits for it.
const whole = process.env.COALMINE_WHOLE_PAGE !== undefined;
const written = (dir) => ({
  './dev build': ':',
  '$PWD/build/release': path.dirname(binary),
  '/tmp/shop.sock': path.join(dir, 'shop.sock'),
  ...(whole ? {} : { '--version 2.4.1 --wait': '--version 2.4.1' }),
});

async function follow(t, language, { env = {}, replacements = {}, before }) {
  const dir = scratch(t);
  const terminal = await Terminal.open(t, root, { ...process.env, HOME: dir, ...env }, { ...written(dir), ...replacements });
  let shown;
  for (const block of page.filter(({ heading }) => !(heading in languages) || heading === language)) {
    const where = `docs/getting-started.md:${block.line}`;
    if (block.saveAs) await terminal.save(block.saveAs, block.text);
    if (block.language === 'sh' && !block.saveAs) {
      if (block.heading === language && before) { await terminal.type(before); before = undefined; }
      const began = performance.now();
      const { output, failed } = await terminal.type(block.text, whole ? 900 : 300);
      t.diagnostic(`${where}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
      assert.deepEqual(failed.filter((command) => !(command in failing)), [], `${where}\n${output}`);
      shown = output;
    }
    if (block.language === 'text') assert.ok(shows(block.text, shown), `${where} shows\n${block.text}\nbut it was\n${shown}`);
  }
}

test('docs/getting-started.md', { concurrency: 4 }, async (t) => {
  await Promise.all(Object.entries(languages).map(([language, { packages, needs = [], skip }]) => {
    const why = skip ?? (has(...needs) ? false : `${needs.join(' and ')} is not installed here`);
    return t.test(language, { skip: why, timeout: whole ? 1_800_000 : 600_000 }, (t) => follow(t, language, packages()));
  }));
});
