import { describe, expect, it } from 'vitest';
import { newRecord, type RequestRecord } from '../proxy/exchange.ts';
import { RequestTallies } from './request-tallies.ts';

const record = (changes: Partial<RequestRecord>): RequestRecord => ({
  ...newRecord(0),
  model: 'm',
  node: 'a',
  ...changes,
});

const linesOf = (tallies: RequestTallies, name: string): string[] =>
  tallies
    .text()
    .split('\n')
    .filter((line) => line.startsWith(name));

describe('request tallies', () => {
  it('count a value in every bucket that it fits, and one beyond the last only in +Inf', () => {
    const tallies = new RequestTallies();
    tallies.add(record({}), 500);
    tallies.add(record({}), 700);
    tallies.add(record({}), 1_000_000);
    const buckets = linesOf(tallies, 'cortex_request_duration_seconds');
    expect(buckets).toContain('cortex_request_duration_seconds_bucket{le="0.25",model="m",node="a"} 0');
    expect(buckets).toContain('cortex_request_duration_seconds_bucket{le="0.5",model="m",node="a"} 1');
    expect(buckets).toContain('cortex_request_duration_seconds_bucket{le="1",model="m",node="a"} 2');
    expect(buckets).toContain('cortex_request_duration_seconds_bucket{le="600",model="m",node="a"} 2');
    expect(buckets).toContain('cortex_request_duration_seconds_bucket{le="+Inf",model="m",node="a"} 3');
    expect(buckets).toContain('cortex_request_duration_seconds_count{model="m",node="a"} 3');
    expect(buckets).toContain('cortex_request_duration_seconds_sum{model="m",node="a"} 1001.2');
  });

  it('keep models and nodes apart, and quote their names', () => {
    const tallies = new RequestTallies();
    tallies.add(record({ model: 'a"b\\c\nd' }), 1);
    tallies.add(record({ node: null }), 1);
    tallies.add(record({ node: null }), 1);
    expect(linesOf(tallies, 'cortex_requests_total')).toEqual([
      String.raw`cortex_requests_total{model="a\"b\\c\nd",node="a"} 1`,
      'cortex_requests_total{model="m",node="none"} 2',
    ]);
  });
});
