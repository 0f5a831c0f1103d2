// Charts: a uPlot time series and a half-ring gauge. Colour says who (blue stable, amber canary); shape and word say the verdict.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clock, weight } from './format';
import type { Line, Track } from './prom';

export interface ChartLine { label: string; track: Track | null; line: Line }

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(lines: ChartLine[], width: number, show: (v: number) => string): uPlot.Options {
  const axis = { stroke: css('--muted'), grid: { stroke: css('--line') }, ticks: { stroke: css('--line') } };
  return {
    width, height: 200,
    scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.15 : 1] } },
    axes: [{ ...axis, values: (_u, ticks) => ticks.map((t) => clock(t * 1000)), space: 80 }, { ...axis, size: 70, values: (_u, ticks) => ticks.map(show) }],
    series: [
      { value: '{HH}:{mm}:{ss}' },
      ...lines.map(({ label, track }) => ({
        label, stroke: css(track ? `--${track}` : '--muted'), width: track === 'canary' ? 2.5 : 1.5,
        points: { show: false }, value: (_u: uPlot, v: number | null) => (v == null ? '–' : show(v)),
      })),
    ],
    legend: { live: true },
    cursor: { sync: { key: 'coalmine' } },
  };
}

export function TimeChart({ lines, show }: { lines: ChartLine[]; show: (v: number) => string }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = lines.map((l) => l.label).join('\n');
  // Lines share their times: all are asked for with the same start and step.
  const data = [lines[0]?.line.times ?? [], ...lines.map((l) => l.line.values)] as uPlot.AlignedData;

  useEffect(() => {
    if (!host.current) return;
    const element = host.current;
    plot.current = new uPlot(options(lines, element.clientWidth || 480, show), data, element);
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 200 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [lines]);

  const latest = lines.map((l) => `${l.label}: ${show([...l.line.values].reverse().find((v) => v != null) ?? NaN)}`).join('; ');
  return <div ref={host} class="chart" role="img" aria-label={latest} />;
}

// share null: nothing to divide by, which is not 0 %; otherwise says why. asked: the weight the rollout asked for.
export function Gauge({ share, asked, word = 'asked', otherwise = 'no requests seen' }:
  { share: number | null; asked?: number | null | undefined; word?: string; otherwise?: string }) {
  const arc = (from: number, to: number) => {
    const point = (v: number) => `${100 - 80 * Math.cos(v * Math.PI)} ${100 - 80 * Math.sin(v * Math.PI)}`;
    return `M ${point(from)} A 80 80 0 0 1 ${point(to)}`;
  };
  const clamped = Math.min(1, Math.max(0, share ?? 0));
  const text = share == null ? otherwise : `${(share * 100).toFixed(1)} %`;
  return (
    <svg viewBox="0 0 200 140" class="gauge" role="img" aria-label={`canary share of traffic: ${text}`}>
      <path d={arc(0, 1)} class="rest" />
      {clamped > 0 && <path d={arc(0, clamped)} class="filled" />}
      {asked != null && <path d={arc(Math.max(0, asked - 0.004), Math.min(1, asked + 0.004))} class="asked" />}
      {/* A sentence does not fit between the arc's ends. */}
      <text x="100" y={share == null ? 117 : 92} class={share == null ? 'small' : 'big'}>{text}</text>
      {asked != null && <text x="100" y={share == null ? 135 : 115} class="small">{word} {weight(asked)}</text>}
    </svg>
  );
}
