// Twenty kills under load; ten minutes of them are `./dev fuzz crash`.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { crash } from './crash.mjs';

test('twenty kills under load lose nothing that was acknowledged', { timeout: 300_000 }, async (t) => {
  const result = await crash(t, { kills: 20, seed: 20 });
  assert.equal(result.kills, 20);
  assert.ok(result.spans > 0);
});
