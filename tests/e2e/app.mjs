// A small checkout-service for the tests, with the real OpenTelemetry SDK. Environment: KIND seed (the seed's own counters), stock (only what the HTTP
// instrumentation sends) or traces (only spans); PROTOCOL proto, json or grpc; GZIP 1 or 0; TRACK, VERSION, ENDPOINT, TOTAL requests,
// FAIL_EVERY n (0: never). Serves its own requests to itself, then keeps exporting until it is stopped.
// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module';

const env = process.env;
const kind = env.KIND;
const { resourceFromAttributes } = await import('@opentelemetry/resources');
const { MeterProvider, PeriodicExportingMetricReader } = await import('@opentelemetry/sdk-metrics');
const { NodeTracerProvider } = await import('@opentelemetry/sdk-trace-node');
const { BatchSpanProcessor } = await import('@opentelemetry/sdk-trace-base');
const { trace, SpanKind, SpanStatusCode } = await import('@opentelemetry/api');
const family = { proto: 'proto', json: 'http', grpc: 'grpc' }[env.PROTOCOL];
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${family}`);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${family}`);

const compression = env.GZIP === '1' ? 'gzip' : 'none';
const target = (signal) => (family === 'grpc' ? env.ENDPOINT : `${env.ENDPOINT}/v1/${signal}`);
const resource = resourceFromAttributes({
  'service.name': 'checkout-service', 'service.version': env.VERSION, 'deployment.track': env.TRACK,
  'deployment.environment': 'production', 'k8s.pod.name': `checkout-${env.TRACK}`,
});
const meterProvider = new MeterProvider({
  resource,
  readers: kind === 'traces' ? [] : [new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: target('metrics'), compression }), exportIntervalMillis: 400, exportTimeoutMillis: 400,
  })],
});
const tracerProvider = new NodeTracerProvider({
  resource,
  spanProcessors: kind === 'traces'
    ? [new BatchSpanProcessor(new OTLPTraceExporter({ url: target('traces'), compression }), { scheduledDelayMillis: 300 })] : [],
});
tracerProvider.register();

if (kind === 'stock') {
  const { HttpInstrumentation } = await import('@opentelemetry/instrumentation-http');
  const { registerInstrumentations } = await import('@opentelemetry/instrumentation');
  registerInstrumentations({ instrumentations: [new HttpInstrumentation()], meterProvider, tracerProvider });
}
const http = createRequire(import.meta.url)('node:http'); // after the instrumentation

const meter = meterProvider.getMeter('checkout');
const requests = kind === 'seed' && meter.createCounter('http_server_request_total');
const errors = kind === 'seed' && meter.createCounter('http_server_request_errors_total');
const duration = kind === 'seed' && meter.createHistogram('http_server_request_duration', { unit: 'ms' });
const failEvery = Number(env.FAIL_EVERY ?? 0);

let served = 0;
const server = http.createServer(async (request, response) => {
  served += 1;
  const failing = failEvery > 0 && served % failEvery === 0;
  const started = performance.now();
  const span = kind === 'traces' && trace.getTracer('checkout').startSpan('GET /api/pay', {
    kind: SpanKind.SERVER, attributes: { 'http.route': '/api/pay', 'http.request.method': 'GET' },
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  response.writeHead(failing ? 500 : 200).end();
  if (span) {
    span.setAttribute('http.response.status_code', failing ? 500 : 200);
    if (failing) {
      span.addEvent('retry');
      span.recordException(new Error('wallet.token is null'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'charge failed' });
    }
    span.end();
  }
  if (kind === 'seed') {
    const labels = { 'http.route': '/api/pay' };
    requests.add(1, labels);
    if (failing) errors.add(1, labels);
    duration.record(performance.now() - started, labels);
  }
});
server.listen(0, '127.0.0.1', async () => {
  const port = server.address().port;
  const total = Number(env.TOTAL);
  const once = () => new Promise((resolve) => http.get({ host: '127.0.0.1', port, path: '/api/pay' }, (r) => r.resume().on('end', resolve)));
  // In eight portions with an export between them, so that a rate has points to stand on.
  for (let portion = 0; portion < 8; portion += 1) {
    for (let i = 0; i < total / 8; i += 1) await once();
    await Promise.allSettled([meterProvider.forceFlush(), tracerProvider.forceFlush()]);
    await new Promise((resolve) => setTimeout(resolve, kind === 'traces' ? 350 : 120));
  }
  console.log('sent');
});
process.once('SIGTERM', () => process.exit(0));
