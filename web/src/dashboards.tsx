// Panel files given with --dashboard, in the order of the file.
import { getDashboards, rollouts } from './api';
import { PanelView, usePolling } from './panel';

const lastHour = { from: () => Date.now() / 1000 - 3600, to: () => Date.now() / 1000 };

export function DashboardsPage({ name }: { name?: string | undefined }) {
  const { value, error } = usePolling(getDashboards, 30_000, 'dashboards');
  if (!value) return <p class={error ? 'problem' : 'quiet'}>{error ?? 'Loading…'}</p>;
  const board = value.find((d) => d.name === name) ?? value[0];
  if (!board) return <section class="empty"><h2>No panel file loaded</h2><p>Start the server with one:</p><pre>coalmine serve --dashboard canary-dashboard-panels.yaml</pre></section>;
  const active = rollouts.value?.find((r) => !r.terminal);
  const askedFor = (query: string) => (active && query.includes(`"${active.service}"`) ? active.weight_asked : null);
  return (
    <article>
      <h1>{board.name}</h1>
      {value.length > 1 && <nav class="tabs">{value.map((d) => <a key={d.name} href={`/dashboards/${encodeURIComponent(d.name)}`}>{d.name}</a>)}</nav>}
      <div class="grid">
        {board.panels.map((panel) => <PanelView key={`${board.name} ${panel.title}`} panel={panel} span={lastHour} asked={askedFor(panel.queries[0]?.query ?? '')} />)}
      </div>
    </article>
  );
}
