// Failing requests, newest first.
import { useState } from 'preact/hooks';
import type { Failure } from './api';
import { getFailures, getServices } from './api';
import { clock, millis } from './format';
import { usePolling } from './panel';

export function FailureList({ failures }: { failures: Failure[] }) {
  return (
    <table>
      <thead><tr><th>Time</th><th>Endpoint</th><th>Error</th><th>Duration</th><th>Failed span</th><th>Exception</th><th>Version</th><th>Trace</th></tr></thead>
      <tbody>
        {failures.map((f) => (
          <tr key={f.trace_id}>
            <td>{clock(f.time_ms)}</td><td>{f.endpoint}</td><td>{f.error}</td><td class="number">{millis(f.duration_ms)}</td>
            <td>{f.failed_spans[0]?.name ?? '–'}</td>
            <td>{f.failed_spans[0]?.exception_message || f.failed_spans[0]?.exception_type || '–'}</td>
            <td>{f.version}</td><td><a href={`/v1/traces/${f.trace_id}`} target="_blank" rel="noreferrer"><code>{f.trace_id.slice(0, 8)}…</code></a></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function FailuresPage() {
  const { value: services } = usePolling(getServices, 10_000, 'services');
  const names = [...new Set((services ?? []).map((s) => s.service))].sort();
  const [chosen, choose] = useState('');
  // One that runs a canary: its failures are what people come for.
  const service = chosen || names.find((name) => services?.some((s) => s.service === name && s.track === 'canary')) || names[0] || '';
  const { value, error } = usePolling(() => (service ? getFailures(service) : Promise.resolve([])), 3000, service);
  return (
    <article>
      <h1>Failures</h1>
      <label>Service <select value={service} onChange={(e) => choose(e.currentTarget.value)}>{names.map((n) => <option key={n}>{n}</option>)}</select></label>
      {error ? <p class="problem">{error}</p>
        : !service ? <p class="quiet">No telemetry received yet.</p>
        : value?.length ? <FailureList failures={value} /> : <p class="quiet">No failing request of {service} is stored.</p>}
    </article>
  );
}
