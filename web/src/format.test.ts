import { describe, expect, it } from 'vitest';
import { duration, measure, millis, percent, points, weight } from './format';
import { isRatio, trackOf, unitOf } from './prom';
import { parsePath } from './route';

describe('format', () => {
  it('says nothing where nothing is known', () => {
    expect(percent(null)).toBe('–');
    expect(percent(NaN)).toBe('–');
    expect(millis(undefined)).toBe('–');
  });
  it('reads a zero, and nothing else, as 0 %', () => {
    expect(percent(0)).toBe('0.00 %');
    expect(percent(0.00003)).toBe('0.003 %');
    expect(percent(0.0971)).toBe('9.71 %');
  });
  it('rounds no weight to another', () => {
    expect([0.004, 0.005, 0.05, 0.999, 1].map(weight)).toEqual(['0.4 %', '0.5 %', '5 %', '99.9 %', '100 %']);
  });
  it('keeps units', () => {
    expect(points(0.0123)).toBe('1.23 pp');
    expect(millis(182.4)).toBe('182 ms');
    expect(millis(12_345)).toBe('12.3 s');
    expect(duration(192_000)).toBe('3m 12s');
    expect(duration(-5)).toBe('0s');
    expect(measure(0.3, 'ratio')).toBe('30.00 %');
    expect(measure(0.25, 's')).toBe('250 ms');
    expect(measure(12_500_000, 'bytes')).toBe('12.5 MB');
    expect(measure(49.99, 'count')).toBe('49.99');
    expect(measure(null, 'rps')).toBe('–');
  });
});

describe('panels', () => {
  const errors = 'sum(rate(a_errors_total{deployment_track="canary"}[5m])) / sum(rate(a_total{deployment_track="canary"}[5m]))';
  it('tells the track by the matcher, then by the label', () => {
    expect(trackOf(errors, 'whatever')).toBe('canary');
    expect(trackOf('sum(x)', 'Stable (v2.3.0)')).toBe('stable');
    expect(trackOf('sum(x)', 'x')).toBe(null);
    expect(trackOf('a{deployment_track="canary"} / b{deployment_track="stable"}', 'ratio')).toBe(null);
  });
  it('shows a ratio of two rates as percent and a duration in its unit', () => {
    expect(isRatio(errors)).toBe(true);
    expect(unitOf('histogram_quantile(0.99, sum(rate(http_server_request_duration_bucket[5m])) by (le))')).toBe('ms');
    expect(unitOf('histogram_quantile(0.99, sum(rate(http_server_request_duration_seconds_bucket[5m])) by (le))')).toBe('s');
    expect(unitOf('up')).toBe('');
  });
});

describe('route', () => {
  it('reads the address', () => {
    expect(parsePath('/')).toEqual({ page: 'overview' });
    expect(parsePath('/r/checkout-service/42')).toEqual({ page: 'rollout', service: 'checkout-service', id: '42' });
    expect(parsePath('/failures')).toEqual({ page: 'failures' });
    expect(parsePath('/dashboards/canary')).toEqual({ page: 'dashboards', name: 'canary' });
    expect(parsePath('/nonsense')).toEqual({ page: 'overview' });
  });
});
