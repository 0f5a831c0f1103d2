// Every kind of app, over every protocol, fills the seed's three panels, byte for byte as the seed has them.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Coalmine, root, seedPanels, start, until } from './harness.mjs';

const protocols = ['proto', 'json', 'grpc'].flatMap((p) => ['0', '1'].map((gzip) => [p, gzip]));

// An app mostly waits for its own exports: two tests at a time.
describe('the three panels', { concurrency: 2 }, () => {
  for (const kind of ['seed', 'stock', 'traces']) {
    for (const [protocol, gzip] of protocols) {
      test(`${kind} app over ${protocol}${gzip === '1' ? ' with gzip' : ''} fills the three panels`, { timeout: 90_000 }, async (t) => {
        const coalmine = await Coalmine.start(t);
        const endpoint = `http://127.0.0.1:${protocol === 'grpc' ? coalmine.grpc : coalmine.http}`;
        const app = (track, version, total, failEvery) => start(t, process.execPath, [path.join(root, 'tests/e2e/app.mjs')], {
          KIND: kind, PROTOCOL: protocol, GZIP: gzip, ENDPOINT: endpoint, TRACK: track, VERSION: version, TOTAL: String(total),
          FAIL_EVERY: String(failEvery), OTEL_SEMCONV_STABILITY_OPT_IN: 'http',
        });
        const apps = [app('stable', '2.3.0', 160, 0), app('canary', '2.4.0', 80, 4)];
        for (const one of apps) await until('the app to have sent all', () => one.output.includes('sent'), 40);

        const [errorRate, latency, split] = seedPanels();
        await until('both tracks to be counted in full', async () => {
          const total = await coalmine.query('sum by (deployment_track) (http_server_request_total{service_name="checkout-service"})');
          return total.length === 2 && total.every((s) => Number(s.value[1]) === (s.metric.deployment_track === 'canary' ? 80 : 160));
        });
        // A zero must read 0 %, not "no data".
        assert.equal(await coalmine.number(errorRate.queries[0]), 0, 'stable error rate');
        const canary = await coalmine.number(errorRate.queries[1]);
        assert.ok(canary > 0.18 && canary < 0.32, `canary error rate ${canary}, sent 1 in 4`);
        for (const query of latency.queries) {
          const p99 = await coalmine.number(query);
          // The stock SDK's buckets tell milliseconds only roughly; the sane range is what counts.
          assert.ok(p99 > 0 && p99 < 5000, `p99 ${p99} ms`);
        }
        const share = await coalmine.number(split.queries[0]);
        assert.ok(share > 0.22 && share < 0.45, `split ${share}, sent 1 in 3`);
        assert.equal(await coalmine.number('sum(http_server_request_errors_total{deployment_track="canary"})'), 20);
        assert.equal(await coalmine.number('count(count by (instance) (http_server_request_total))'), 2);
      });
    }
  }
});
