// All rollouts, those that need a person first: one sentence of state, one of reason, the traffic.
import type { Rollout } from './api';
import { getMisdirected, getServices, rollouts } from './api';
import { clock, duration, weight as weightText } from './format';
import { usePolling } from './panel';
import { trafficOf } from './split';

const phases: Record<string, { glyph: string; word: string; tone: string }> = {
  progressing: { glyph: '◌', word: 'WATCHING', tone: 'watching' },
  paused: { glyph: '॥', word: 'PAUSED', tone: 'paused' },
  rolling_back: { glyph: '✖', word: 'ROLLING BACK', tone: 'regression' },
  rolled_back: { glyph: '✖', word: 'ROLLED BACK', tone: 'regression' },
  aborted: { glyph: '✖', word: 'ABORTED', tone: 'paused' },
  abandoned: { glyph: '✖', word: 'ABANDONED', tone: 'paused' },
  promoted: { glyph: '✔', word: 'PROMOTED', tone: 'pass' },
};

// With `router: observe` nothing is moved: no word may say that traffic went somewhere.
const unmoved: Record<string, string> = {
  rolling_back: 'FAILED, NOTHING MOVED', rolled_back: 'FAILED, NOTHING MOVED', promoted: 'PASSED, NOTHING MOVED',
};

export function Chip({ rollout: r }: { rollout: Rollout }) {
  const { glyph, word: moved, tone } = phases[r.phase] ?? phases.progressing!;
  const word = r.moves_traffic === false ? (unmoved[r.phase] ?? moved) : moved;
  if (r.condition === 'router_failing') return <span class="chip regression">✖ ROUTER FAILS</span>;
  if (r.condition === 'awaits_telemetry' && r.phase === 'progressing')
    return <span class={`chip ${tone}`}>{glyph} WAITING FOR TELEMETRY</span>;
  return <span class={`chip ${tone}`}>{glyph} {word}</span>;
}

function Row({ rollout: r }: { rollout: Rollout }) {
  const { share, title } = trafficOf(r);
  return (
    <li>
      <a class="row" href={`/r/${encodeURIComponent(r.service)}/${r.id}`}>
        <Chip rollout={r} />
        <strong>{r.service}</strong>
        <span class="versions">{r.stable_version || '?'} → {r.canary_version || '?'}</span>
        <span class="traffic" title={title}><i style={{ width: `${(share ?? 0) * 100}%` }} /></span>
        <span class="number">{share === null ? '?' : weightText(share)}</span>
        <span class="when">{r.terminal ? `${clock(r.ended_ms)}, after ${duration(r.ended_ms - r.started_ms)}`
          : `step ${r.step + 1} of ${r.steps.length}`}</span>
        <span class="reason">{r.reason}</span>
      </a>
    </li>
  );
}

function Group({ title, items }: { title: string; items: Rollout[] }) {
  if (items.length === 0) return null;
  return (
    <section>
      <h2>{title} ({items.length})</h2>
      <ul class="rows">{items.map((r) => <Row key={r.id} rollout={r} />)}</ul>
    </section>
  );
}

// Telemetry that comes to the wrong port or in the wrong protocol: its sender often says nothing.
function Misdirected() {
  const { value } = usePolling(getMisdirected, 5000, 'misdirected');
  if (!value || value.length === 0) return null;
  return (
    <section class="misdirected" role="status">
      <h2>Telemetry that cannot arrive ({value.length})</h2>
      <ul>{value.map((m) => <li key={m.address + m.listener + m.what}>
        <strong>{m.address}</strong> → {m.listener}: {m.what} <small>{m.count === 1 ? 'once' : `${m.count} times`}, last {clock(m.last_ms)}</small>
      </li>)}</ul>
    </section>
  );
}

function FirstSteps() {
  const { value } = usePolling(getServices, 3000, 'services');
  const services = value ?? [];
  const tracks = new Set(services.map((s) => s.track));
  const done = (yes: boolean) => (yes ? '●' : '○');
  return (
    <section class="empty">
      <h2>No rollout yet</h2>
      <p>Point a service at this server, tag its telemetry, then start a rollout:</p>
      <pre>{`export OTEL_SERVICE_NAME=checkout-service
export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_RESOURCE_ATTRIBUTES=service.version=2.4.0,deployment.track=canary
coalmine rollout start checkout-service`}</pre>
      <ul class="checklist">
        <li>{done(services.length > 0)} telemetry received{services.length > 0 && `: ${[...new Set(services.map((s) => s.service))].join(', ')}`}</li>
        <li>{done(tracks.has('stable'))} the stable track seen</li>
        <li>{done(tracks.has('canary'))} the canary track seen</li>
      </ul>
    </section>
  );
}

export function Overview() {
  const all = rollouts.value;
  if (all === null) return <p class="quiet">Connecting…</p>;
  if (all.length === 0) return <><Misdirected /><FirstSteps /></>;
  return (
    <>
      <Misdirected />
      <Group title="Needs a person" items={all.filter((r) => r.phase === 'paused')} />
      <Group title="Running" items={all.filter((r) => r.phase === 'progressing' || r.phase === 'rolling_back')} />
      <Group title="Finished" items={all.filter((r) => r.terminal)} />
    </>
  );
}
