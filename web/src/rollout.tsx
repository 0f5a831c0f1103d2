// One rollout: what happened and why, its steps, the traffic split, error rate and p99 of both tracks, verdicts, failures, log.
import { useState } from 'preact/hooks';
import type { Advice, Metric, Rollout } from './api';
import { command, getFailures, getRollout, rollouts } from './api';
import { Gauge } from './chart';
import { FailureList } from './failures';
import { clock, duration, measure, millis, points, weight } from './format';
import { Chip } from './overview';
import { PanelView, usePolling } from './panel';
import { adviceParts, askedOf, panelsOf, splitWords } from './split';

const verdictMark: Record<Metric['verdict'], string> = {
  pass: '✔ PASS', regression: '✖ REGRESSION', watching: '◌ WATCHING', no_data: '∅ NO DATA',
};

function Steps({ rollout: r }: { rollout: Rollout }) {
  return (
    <ol class="steps">
      {r.steps.map((step, i) => {
        const current = !r.terminal && i === r.step;
        const mark = step.outcome === 'passed' ? '●' : step.outcome === 'failed' ? '✖' : current ? '◐' : '○';
        const share = current && step.analyze_ms > 0 ? Math.min(1, r.observed_valid_ms / step.analyze_ms) : step.outcome === 'passed' ? 1 : 0;
        return (
          <li class={step.outcome || (current ? 'current' : 'open')} aria-current={current ? 'step' : undefined}>
            <b>{mark} {weight(step.weight)}</b>
            <span class="bar"><i style={{ width: `${share * 100}%` }} /></span>
            <small>{current && step.analyze_ms > 0 ? `${duration(r.observed_valid_ms)} of ${duration(step.analyze_ms)}`
              : step.started_ms ? clock(step.started_ms) : step.analyze_ms > 0 ? duration(step.analyze_ms) : ''}</small>
          </li>
        );
      })}
    </ol>
  );
}

function Verdicts({ metrics }: { metrics: Metric[] }) {
  const show = (m: Metric, v: number | null) => measure(v, m.unit);
  // Between two shares lie percentage points, not percent.
  const apart = (m: Metric, v: number) => `${v < 0 ? '−' : '+'}${m.unit === 'ratio' ? points(Math.abs(v)) : measure(Math.abs(v), m.unit)}`;
  return (
    <table>
      <thead><tr><th>Signal</th><th>Route</th><th>Stable</th><th>Canary</th><th>Difference</th><th>Allowed</th><th>Requests c/s</th><th>Verdict</th></tr></thead>
      <tbody>
        {metrics.map((m) => (
          <>
          <tr title={m.reason}>
            <td>{m.name}</td><td>{m.route || 'all'}</td>
            <td class="number">{show(m, m.stable)}</td><td class="number">{show(m, m.canary)}</td>
            <td class="number">{m.difference === null ? '–' : apart(m, m.difference)}</td>
            <td class="number">{m.margin}{m.approximate ? ' (approximate)' : ''}{m.gate ? '' : ' (shown only)'}</td>
            <td class="number">{Math.round(m.canary_requests)}/{Math.round(m.stable_requests)}</td>
            <td class={m.verdict}>{verdictMark[m.verdict]}</td>
          </tr>
          {/* Two quantiles may look alike where the share of slow requests is not: the sentence names it. */}
          {m.verdict === 'regression' && <tr class="why"><td colSpan={8}>{m.reason}</td></tr>}
          </>
        ))}
      </tbody>
    </table>
  );
}

function Note({ advice }: { advice: Advice }) {
  const [before, steps, behind] = adviceParts(advice);
  return <p class="quiet">Note: {before}{steps && <code>{steps}</code>}{behind}.</p>;
}

function Controls({ rollout: r }: { rollout: Rollout }) {
  const [problem, setProblem] = useState('');
  const act = (verb: string, question: string, needsReason: boolean) => async () => {
    const reason = needsReason ? prompt(question) : confirm(question) ? 'by hand, on the page' : null;
    if (!reason) return;
    await command(r.id, verb, reason).then(() => setProblem(''), (error: Error) => setProblem(error.message));
  };
  if (r.terminal) return null;
  return (
    <div class="controls">
      {r.phase === 'paused'
        ? <button onClick={act('resume', 'Go on with this rollout?', false)}>Resume</button>
        : <button onClick={act('pause', 'Hold the weight where it is?', false)}>Pause</button>}
      <button onClick={act('promote', r.moves_traffic === false ? 'Why may this gate be passed by hand?'
        : 'Passing this gate by hand moves more traffic to the canary. Why?', true)}>Promote</button>
      <button class="danger" onClick={act('abort', r.moves_traffic === false ? 'End this rollout? Nothing is moved (router: observe).'
        : 'Send all traffic back to stable?', false)}>Abort</button>
      {r.phase === 'rolling_back' && <button class="danger"
        onClick={act('abandon', 'The router is not asked again and the traffic stays wherever it goes. Why is the router given up?', true)}>Abandon</button>}
      {problem && <span class="problem">{problem}</span>}
    </div>
  );
}

export function RolloutPage({ id }: { id: string }) {
  const live = rollouts.value?.find((r) => String(r.id) === id);
  const { value: full, error } = usePolling(() => getRollout(id), 2000, id);
  const r = live ? { ...full, ...live, log: full?.log } : full;
  if (!r) return <p class={error ? 'problem' : 'quiet'}>{error ?? 'Loading…'}</p>;
  const span = {
    from: () => r.started_ms / 1000 - 20,
    to: () => (r.terminal ? Math.min(Date.now(), r.ended_ms + 15_000) : Date.now()) / 1000,
  };
  return (
    <article>
      <header class="verdict">
        <h1>{r.service} <span class="versions">{r.stable_version || '?'} → {r.canary_version || '?'}</span> <small>#{r.id}</small></h1>
        <p aria-live="polite"><Chip rollout={r} /> {r.reason}</p>
        {r.phase === 'rolled_back' && r.moves_traffic !== false && r.time_to_rollback_ms > 0 &&
          <p class="quiet">All traffic was back on stable {millis(r.time_to_rollback_ms)} after the decision.</p>}
        {r.moves_traffic === false && r.terminal && r.phase !== 'abandoned' &&
          <p class="quiet">{r.phase === 'promoted' ? 'Every step passed' : `Decided to ${r.phase === 'aborted' ? 'abort' : 'roll back'}`}; nothing was moved
            (router: observe).</p>}
        {r.advice && !r.terminal && <Note advice={r.advice} />}
        <Controls rollout={r} />
      </header>
      <Steps rollout={r} />
      <div class="grid">
        <section class="panel gauge"><h3>Traffic split</h3><Gauge share={r.observed_split} asked={askedOf(r)} word={r.moves_traffic === false ? 'planned' : 'asked'}
          otherwise={splitWords(r)} /></section>
        {panelsOf(r).map((panel) => <PanelView key={`${r.id} ${panel.title}`} panel={panel} span={span} />)}
      </div>
      {r.judgement && <section><h2>Signals and routes</h2><Verdicts metrics={r.judgement.metrics} />
        {r.judgement.guarantee && <p class="quiet">{r.judgement.guarantee}</p>}
        <p class="quiet">Counted over the whole rollout, from the first request of every process. The charts above look back over the time in their titles, and leave out what
          a process did before its second export, so the two differ.</p></section>}
      <FailuresOf rollout={r} />
      <section>
        <h2>Log</h2>
        <table class="log"><tbody>
          {[...(r.log ?? [])].reverse().map((e) => <tr key={e.sequence}><td>{clock(e.time_ms)}</td><td>{e.kind}</td><td>{e.text}</td><td>{e.actor}</td></tr>)}
        </tbody></table>
      </section>
    </article>
  );
}

function FailuresOf({ rollout }: { rollout: Rollout }) {
  const { value } = usePolling(() => getFailures(rollout.service, rollout.canary_version), 5000, `${rollout.id}`);
  return value && value.length > 0 ? <section><h2>Newest failing requests of the canary</h2><FailureList failures={value.slice(0, 5)} /></section> : null;
}
