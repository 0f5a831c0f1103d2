// docs/troubleshooting.md names sentences that coalmine prints, in the words of its sources.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { root } from './harness.mjs';

const sources = (folder) => fs.readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith('.cc') && !name.endsWith('_test.cc'))
  .map((name) => fs.readFileSync(path.join(folder, name), 'utf8'));

// Words only; what the program fills in (… on the page) is a word of its own.
const words = (text) => text.replace(/\{[^{}\s;]*\}|…/g, ' _ ').match(/[\p{L}\d_./]+/gu) ?? [];

// What the literals say, those that stand one after the other joined.
const printed = ` ${words(sources(path.join(root, 'src')).join('\n').replaceAll('\\"', '\'').replaceAll('\\n', ' ').replace(/"\s*(?:R?")/g, '')).join(' ')} `;

test('docs/troubleshooting.md', async (t) => {
  const page = fs.readFileSync(path.join(root, 'docs/troubleshooting.md'), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  assert.ok(rows.length > 20);
  const sentences = rows.flatMap((row) => [...row.split(' | ')[0].matchAll(/`([^`]+)`/g)].map((found) => found[1]))
    .filter((text) => /\s/.test(text) && !text.startsWith('coalmine '));
  for (const sentence of sentences) {
    await t.test(sentence, () => assert.ok(printed.includes(` ${words(sentence).join(' ')} `), 'no source has this sentence'));
  }
});
