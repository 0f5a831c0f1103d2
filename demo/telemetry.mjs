// OpenTelemetry set-up of the demo's services: every piece of telemetry carries the version and the track as resource attributes.
// SPDX-License-Identifier: Apache-2.0
import { metrics, trace } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

// exportMillis: stock SDKs export metrics every 15 to 60 s; a demo that ends in a minute cannot wait that long.
export function startTelemetry({ service, version, track, pod, endpoint, exportMillis = 1000 }) {
  const resource = resourceFromAttributes({
    'service.name': service,
    'service.version': version,
    'deployment.track': track,
    'deployment.environment': 'production',
    'k8s.pod.name': pod,
  });
  const tracerProvider = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }), { scheduledDelayMillis: exportMillis })],
  });
  tracerProvider.register();
  const meterProvider = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter({ url: `${endpoint}/v1/metrics` }),
      exportIntervalMillis: exportMillis,
      exportTimeoutMillis: exportMillis,
    })],
  });
  metrics.setGlobalMeterProvider(meterProvider);
  return {
    tracer: trace.getTracer(service),
    meter: metrics.getMeter(service),
    async stop() {
      await Promise.allSettled([meterProvider.shutdown(), tracerProvider.shutdown()]);
    },
  };
}
