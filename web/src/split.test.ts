import { describe, expect, it } from 'vitest';
import { unitOf } from './prom';
import { adviceParts, askedOf, panelsOf, splitWords, trafficOf } from './split';

describe('what the page says of the traffic', () => {
  it('never says that there is none where it has gone', () => {
    expect(splitWords({ phase: 'progressing' })).toBe('none seen lately at this weight');
    expect(splitWords({ phase: 'promoted' })).toBe('all on the canary');
    expect(splitWords({ phase: 'rolled_back' })).toBe('all on stable');
    expect(splitWords({ phase: 'aborted' })).toBe('all on stable');
    expect(splitWords({ phase: 'promoted', moves_traffic: false })).toBe('nothing was moved');
    expect(splitWords({ phase: 'abandoned' })).toBe('unknown');
  });
  it('shows the steps to write as they stand in a file', () => {
    const steps = '[25% 1h, 50% 1h, 100%]';
    expect(adviceParts({ sentence: `little. With steps: ${steps} it is +0.9pp`, steps })).toEqual(['little. With ', `steps: ${steps}`, ' it is +0.9pp']);
    expect(adviceParts({ sentence: 'No steps help' })).toEqual(['No steps help', '', '']);
    expect(adviceParts({ sentence: 'other words', steps })).toEqual(['other words', '', '']);
  });
  const rollout = {
    service: 'shop', stable_version: '1', canary_version: '',
    steps: [{ weight: 0.1, analyze_ms: 120_000, min_requests: 0, started_ms: 0, ended_ms: 0, outcome: '' }],
  };
  it('looks back over several exports, and says how far', () => {
    for (const panel of panelsOf(rollout)) {
      expect(panel.title).toContain('over 4m');
      for (const { query } of panel.queries) expect(query).toContain('[4m]');
    }
  });
  it('is not empty at steps of less than a minute with exports of a minute', () => {
    const short = { ...rollout, steps: [{ ...rollout.steps[0]!, analyze_ms: 20_000 }] };
    for (const panel of panelsOf(short)) {
      expect(panel.title).toContain('over 10s (4m where exports come seldom)');
      for (const { query } of panel.queries) {
        expect(query).toMatch(/\[10s\].* or .*\[4m\]/);
        expect(unitOf(query)).toBe(unitOf(query.split(' or ')[0]!));
      }
    }
  });
  it('says no weight that nobody knows, and none that was moved where nothing is', () => {
    const r = { phase: 'progressing', weight_applied: 0.05, weight_asked: 0.05 } as const;
    expect(trafficOf(r)).toEqual({ share: 0.05, title: 'weight 5 %' });
    expect(trafficOf({ ...r, weight_applied: null }).title).toBe('weight 5 % asked for, not read back');
    expect(trafficOf({ ...r, phase: 'abandoned', weight_applied: null }).share).toBeNull();
    expect(askedOf({ ...r, phase: 'abandoned' })).toBeNull();
    for (const phase of ['progressing', 'promoted', 'rolled_back', 'abandoned'] as const)
      expect(trafficOf({ ...r, phase, moves_traffic: false, weight_applied: null }).title).toContain('nothing is moved');
  });
  it('asks for no version that is not known', () => {
    const [stable, canary] = panelsOf(rollout)[0]!.queries;
    expect(stable!.query).toContain('service_version="1"');
    expect(canary!.query).not.toContain('service_version');
  });
});
