// Failing traces of the canary, from spans and from exception logs; a collector's big batches.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import grpc from '@grpc/grpc-js';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { atEnd, Coalmine, root, start, until } from './harness.mjs';
import { spans } from './otlp.mjs';

test('coalmine failures prints what the seed prints', { timeout: 60_000 }, async (t) => {
  const coalmine = await Coalmine.start(t);
  const app = (track, version, failEvery) => start(t, process.execPath, [path.join(root, 'tests/e2e/app.mjs')], {
    KIND: 'traces', PROTOCOL: 'proto', GZIP: '1', ENDPOINT: `http://127.0.0.1:${coalmine.http}`, TRACK: track, VERSION: version, TOTAL: '40',
    FAIL_EVERY: String(failEvery),
  });
  const apps = [app('stable', '2.3.0', 10), app('canary', '2.4.0', 4)];
  for (const one of apps) await until('the app to have sent all', () => one.output.includes('sent'), 40);

  await t.test('newest first, of one version, with the exception of the event that is one', async () => {
    const { failures } = await coalmine.get('/v1/failures?service=checkout-service&version=2.4.0&track=canary');
    assert.equal(failures.length, 10);
    assert.ok(failures.every((f, i) => i === 0 || failures[i - 1].time_ms >= f.time_ms));
    assert.equal(failures[0].failed_spans[0].exception_message, 'wallet.token is null');
    assert.equal((await coalmine.get('/v1/failures?service=checkout-service&limit=3')).failures.length, 3);
    const { spans: trace } = await coalmine.get(`/v1/traces/${failures[0].trace_id}`);
    assert.equal(trace.length, 1);
  });
  await t.test('as text, line for line', async () => {
    const { code, output } = await coalmine.run('failures', 'checkout-service', '--version', '2.4.0', '--limit', '1');
    assert.equal(code, 0, output);
    assert.match(output, /Trace ID: [0-9a-f]{32}\n  Error: charge failed\n  Duration: [\d.]+ ?ms\n  Endpoint: \/api\/pay\n  Failed span: GET \/api\/pay\n  Exception: wallet\.token is null/);
  });
  await t.test('an exception that came as a log record is joined to its span', async () => {
    const { failures: [newest] } = await coalmine.get('/v1/failures?service=checkout-service&version=2.3.0&limit=1');
    const { spans: [span] } = await coalmine.get(`/v1/traces/${newest.trace_id}`);
    const provider = new LoggerProvider({
      resource: resourceFromAttributes({ 'service.name': 'checkout-service', 'service.version': '2.3.0', 'deployment.track': 'stable' }),
      processors: [new SimpleLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `http://127.0.0.1:${coalmine.http}/v1/logs` }) })],
    });
    const { trace, context } = await import('@opentelemetry/api');
    provider.getLogger('t').emit({
      severityNumber: SeverityNumber.ERROR, body: 'it broke', attributes: { 'exception.type': 'Late', 'exception.message': 'from a log' },
      context: trace.setSpanContext(context.active(), { traceId: newest.trace_id, spanId: span.span_id, traceFlags: 1 }),
    });
    await provider.forceFlush();
    const joined = await until('the log record', async () => {
      const trail = await coalmine.get(`/v1/traces/${newest.trace_id}`);
      return trail.spans[0].logs.length > 0 && trail.spans[0].logs;
    });
    assert.equal(joined[0].attributes['exception.message'], 'from a log');
  });
});

test('a collector\'s batch of 8,192 spans, above 4 MiB, over gRPC with and without gzip', { timeout: 60_000 }, async (t) => {
  const coalmine = await Coalmine.start(t);
  for (const [seed, algorithm] of [[1, grpc.compressionAlgorithms.identity], [2, grpc.compressionAlgorithms.gzip]]) {
    const client = new grpc.Client(`127.0.0.1:${coalmine.grpc}`, grpc.credentials.createInsecure(), {
      'grpc.max_send_message_length': -1, 'grpc.default_compression_algorithm': algorithm });
    atEnd(t, () => client.close());
    const batch = spans(8192, seed);
    assert.ok(batch.length > 4 * 2 ** 20, `${batch.length} bytes`);
    await new Promise((resolve, reject) => client.makeUnaryRequest('/opentelemetry.proto.collector.trace.v1.TraceService/Export', (b) => b, (b) => b,
      batch, (error) => (error ? reject(error) : resolve())));
  }
  assert.equal(await coalmine.counter('coalmine_otlp_items_total{signal="traces"'), 16384);
  const requests = await until('the derived counters', () => coalmine.number('sum(http_server_request_total)'));
  assert.equal(requests, 16384);
});
