// One panel: its queries asked again every few seconds while it is on screen, drawn as the panel file says.
import { useEffect, useState } from 'preact/hooks';
import type { Panel } from './api';
import { type ChartLine, Gauge, TimeChart } from './chart';
import { millis, percent } from './format';
import { latest, range, trackOf, unitOf } from './prom';

function shower(query: string): (v: number) => string {
  switch (unitOf(query)) {
    case '%': return (v) => percent(v);
    case 'ms': return millis;
    case 's': return (v) => millis(v * 1000);
    default: return (v) => (Number.isNaN(v) ? '–' : v.toPrecision(4).replace(/\.?0+$/, ''));
  }
}

export interface Range { from: () => number; to: () => number } // Unix seconds

// Calls again every period until the panel is gone; the next call waits for the answer, so a slow server is not flooded.
export function usePolling<T>(ask: () => Promise<T>, period: number, key: string): { value: T | null; error: string | null } {
  const [state, setState] = useState<{ value: T | null; error: string | null }>({ value: null, error: null });
  useEffect(() => {
    let timer = 0;
    let live = true;
    const turn = async () => {
      try {
        const value = await ask();
        if (live) setState({ value, error: null });
      } catch (error) {
        if (live) setState((old) => ({ value: old.value, error: (error as Error).message }));
      }
      if (live) timer = window.setTimeout(turn, period);
    };
    void turn();
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [key, period]);
  return state;
}

export function PanelView({ panel, span, asked }: { panel: Panel; span: Range; asked?: number | null }) {
  return (
    <section class={`panel ${panel.type}`}>
      <h3>{panel.title}</h3>
      {panel.type === 'gauge' ? <GaugeBody panel={panel} asked={asked} /> : <SeriesBody panel={panel} span={span} />}
    </section>
  );
}

function SeriesBody({ panel, span }: { panel: Panel; span: Range }) {
  const key = JSON.stringify(panel.queries);
  const { value, error } = usePolling<ChartLine[]>(async () => {
    const [from, to] = [span.from(), span.to()];
    const step = Math.max(1, Math.ceil((to - from) / 240));
    return Promise.all(panel.queries.map(async ({ label, query }) =>
      ({ label, track: trackOf(query, label), line: await range(query, from, to, step) })));
  }, 2000, key);
  const show = shower(panel.queries[0]?.query ?? '');
  if (value === null) return <p class="quiet">{error ?? 'Loading…'}</p>;
  const empty = value.every(({ line }) => line.values.every((v) => v === null));
  return (
    <>
      <TimeChart lines={value} show={show} />
      {empty && <p class="quiet">Nothing to draw in this range: no requests that these queries select, or not yet two exports of them.</p>}
      {error && <p class="problem">{error}</p>}
    </>
  );
}

function GaugeBody({ panel, asked }: { panel: Panel; asked?: number | null | undefined }) {
  const query = panel.queries[0]?.query ?? '';
  const { value, error } = usePolling(async () => ({ share: await latest(query) }), 2000, query);
  return error && value === null ? <p class="problem">{error}</p> : <Gauge share={value?.share ?? null} asked={asked} />;
}
