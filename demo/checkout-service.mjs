// A shop with three routes. APP_VERSION and DEPLOYMENT_TRACK tag its telemetry; FAULT chooses what is wrong with this release:
// none, errors (/api/pay with Apple Pay fails) or slow-tail (one /api/quote in seven takes 400 ms longer).
// SPDX-License-Identifier: Apache-2.0
import http from 'node:http';
import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import { startTelemetry } from './telemetry.mjs';

const env = process.env;
const version = env.APP_VERSION ?? 'unknown';
const track = env.DEPLOYMENT_TRACK ?? 'stable';
const fault = env.FAULT ?? 'none';
const telemetry = startTelemetry({
  service: 'checkout-service', version, track, pod: env.POD_NAME ?? 'unknown',
  endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT ?? 'http://127.0.0.1:4318',
});
const { tracer, meter } = telemetry;
const requests = meter.createCounter('http_server_request_total');
const errors = meter.createCounter('http_server_request_errors_total');
const duration = meter.createHistogram('http_server_request_duration', {
  unit: 'ms',
  advice: { explicitBucketBoundaries: [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000] },
});

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const chance = (p) => Math.random() < p;
const routes = new Set(['/api/cart', '/api/quote', '/api/pay']);
// Errors are counted from 0, so that a version without any is known to count them.
for (const route of routes) errors.add(0, { 'http.route': route, 'http.request.method': 'GET' });

// All three routes stay inside one bucket of the histogram, (50, 100] ms, with a rare stray into the next one: a p99 that is read off
// buckets then says the same for two equal releases.
const serviceTime = () => (chance(0.002) ? 120 + Math.random() * 60 : 58 + Math.random() * 30);

async function charge(method) {
  await tracer.startActiveSpan('PaymentClient.charge', { kind: SpanKind.CLIENT, attributes: { 'payment.method': method } }, async (span) => {
    try {
      await wait(serviceTime());
      if (fault === 'errors' && method === 'applepay') throw new TypeError('wallet.token is null');
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      span.end();
    }
  });
}

async function answer(route, method) {
  if (route === '/api/pay') return charge(method);
  await wait(serviceTime());
  if (fault === 'slow-tail' && route === '/api/quote' && chance(1 / 7)) {
    await tracer.startActiveSpan('PriceRules.evaluate', async (span) => {
      await wait(400);
      span.end();
    });
  }
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const route = routes.has(url.pathname) ? url.pathname : undefined;
  if (!route) {
    response.writeHead(url.pathname === '/healthz' ? 200 : 404).end();
    return;
  }
  const started = performance.now();
  const span = tracer.startSpan(`${request.method} ${route}`, {
    kind: SpanKind.SERVER,
    attributes: { 'http.request.method': request.method, 'http.route': route, 'url.path': url.pathname,
                  'payment.method': url.searchParams.get('method') ?? 'none' },
  });
  let status = 200;
  try {
    await context.with(trace.setSpan(context.active(), span), () => answer(route, url.searchParams.get('method')));
  } catch (error) {
    status = 500;
    span.setAttribute('error.type', error.name);
    span.setStatus({ code: SpanStatusCode.ERROR, message: `charge failed: ${error.message}` });
  }
  span.setAttribute('http.response.status_code', status);
  span.end();
  const labels = { 'http.route': route, 'http.request.method': request.method };
  requests.add(1, labels);
  if (status >= 500) errors.add(1, labels);
  duration.record(performance.now() - started, labels);
  response.writeHead(status, { 'x-app-version': version, 'content-type': 'text/plain' }).end(`${version}\n`);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(env.PORT ?? 0), '127.0.0.1', () => console.log(`listening ${server.address().port}`));

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
    telemetry.stop().finally(() => process.exit(0));
  });
}
