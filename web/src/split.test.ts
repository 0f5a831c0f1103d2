import { describe, expect, it } from 'vitest';
import { panelsOf, splitWords } from './split';

describe('what the page says of the traffic', () => {
  it('never says that there is none where it has gone', () => {
    expect(splitWords({ phase: 'progressing' })).toBe('no requests seen in this step yet');
    expect(splitWords({ phase: 'promoted' })).toBe('all on the canary');
    expect(splitWords({ phase: 'rolled_back' })).toBe('all on stable');
    expect(splitWords({ phase: 'aborted' })).toBe('all on stable');
    expect(splitWords({ phase: 'promoted', moves_traffic: false })).toBe('nothing was moved');
    expect(splitWords({ phase: 'abandoned' })).toBe('unknown');
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
  it('asks for no version that is not known', () => {
    const [stable, canary] = panelsOf(rollout)[0]!.queries;
    expect(stable!.query).toContain('service_version="1"');
    expect(canary!.query).not.toContain('service_version');
  });
});
