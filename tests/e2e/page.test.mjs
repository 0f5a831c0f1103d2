// The page in headless Chromium: it renders the seed's panel file, lists a rollout with its reason, and shows it.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { chromium } from 'playwright-core';
import { atEnd, Coalmine, root, start, until } from './harness.mjs';

const launch = async (t) => {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  atEnd(t, () => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const problems = [];
  page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
  page.on('pageerror', (e) => problems.push(String(e)));
  return { page, problems };
};

test('the page', { timeout: 120_000 }, async (t) => {
  const coalmine = await Coalmine.start(t, { config: 'service: checkout-service\n', args: ['--dashboard', path.join(root, 'demo/canary-dashboard-panels.yaml')] });
  const { page, problems } = await launch(t);
  const shots = path.join(root, 'build/test-logs');
  fs.mkdirSync(shots, { recursive: true });

  await t.test('before anything arrived it says how to begin', async () => {
    await page.goto(coalmine.url);
    await page.getByText('No rollout yet').waitFor();
    await page.getByText('OTEL_EXPORTER_OTLP_ENDPOINT').waitFor();
  });

  await t.test('it names who sends where nothing can arrive', async () => {
    const lost = await fetch(`${coalmine.url}/v1/metrics`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    assert.equal(lost.status, 404);
    await page.getByText('Telemetry that cannot arrive (1)').waitFor();
    await page.getByText('OTLP/HTTP goes to the OTLP/HTTP port, 4318 by default').waitFor();
    await page.screenshot({ path: path.join(shots, 'misdirected.png') });
  });

  const app = (track, version, failEvery) => start(t, process.execPath, [path.join(root, 'tests/e2e/app.mjs')], {
    KIND: 'seed', PROTOCOL: 'proto', GZIP: '0', ENDPOINT: `http://127.0.0.1:${coalmine.http}`, TRACK: track, VERSION: version, TOTAL: '240',
    FAIL_EVERY: String(failEvery),
  });
  const apps = [app('stable', '2.3.0', 0), app('canary', '2.4.0', 3)];
  for (const one of apps) await until('the app to have sent all', () => one.output.includes('sent'), 40);

  await t.test('the panel file renders: two lines, percent, a gauge', async () => {
    await page.goto(`${coalmine.url}/dashboards`);
    for (const title of ['Error Rate: Canary vs Stable', 'p99 Latency: Canary vs Stable', 'Traffic Split']) await page.getByText(title).waitFor();
    await page.locator('.chart canvas').first().waitFor();
    await page.getByText('Stable (v2.3.0)').first().waitFor();
    await until('the gauge to show the split', async () => /\d\d\.\d %/.test((await page.locator('svg.gauge').textContent()) ?? ''));
    await until('the stable line to read 0 %', async () =>
      /Stable \(v2\.3\.0\): 0\.00 %/.test((await page.locator('.chart').first().getAttribute('aria-label')) ?? ''));
    await page.screenshot({ path: path.join(shots, 'dashboards.png') });
  });

  await t.test('a rollout shows its state, reason and routes', async () => {
    await coalmine.post('/v1/rollouts', { service: 'checkout-service', canary_version: '2.4.0', stable_version: '2.3.0' });
    await page.goto(coalmine.url);
    await page.getByText('checkout-service').first().waitFor();
    await page.locator('.row').first().click();
    await page.getByRole('heading', { name: /checkout-service/ }).waitFor();
    await page.locator('.chart canvas').nth(1).waitFor();
    await page.screenshot({ path: path.join(shots, 'rollout.png'), fullPage: true });
    const [first] = (await coalmine.get('/v1/rollouts')).rollouts;
    await page.getByText(first.reason).first().waitFor();
  });

  await t.test('nothing on the page failed or was blocked', () => assert.deepEqual(problems, []));
});

test('the page says what a rollout waits for', { timeout: 40_000 }, async (t) => {
  const config = 'service: shop\nrouter: observe\n---\nservice: cart\nrouter: haproxy:/nowhere/haproxy.sock#cart\n';
  const coalmine = await Coalmine.start(t, { config });
  const { page, problems } = await launch(t);
  for (const service of ['shop', 'cart']) await coalmine.post('/v1/rollouts', { service });
  await page.goto(coalmine.url);
  await page.getByText('WAITING FOR TELEMETRY').waitFor();
  await page.getByText('Waiting for the first telemetry of the canary; versions seen: none').waitFor();
  await page.getByText('ROUTER FAILS').waitFor();
  await page.getByText('The canary could not be set to').waitFor();
  assert.deepEqual(problems, []);
});
