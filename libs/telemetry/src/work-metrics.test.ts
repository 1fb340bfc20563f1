import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { watchWork, type WorkSample } from './work-metrics.ts'

const slice = (subtask: number, busy: number): WorkSample['slices'][number] => ({
  subtask,
  stages: [{ stage: 'orders', busyMsPerSecond: busy, idleMsPerSecond: 900 - busy, backPressuredMsPerSecond: 100 }],
  operators: [{ operator: 'sums', recordsIn: 10, recordsOut: 4 }],
})
const job: WorkSample = {
  jobId: 'pay',
  slices: [slice(0, 200), slice(1, 400)],
  splits: [
    { source: 'orders', split: 0, lag: 7 },
    { source: 'orders', split: 1 },
  ],
  latency: { records: 6, sumMs: 2_600, boundsMs: [10, 1_000], counts: [1, 3, 2] },
  sinks: [
    { sink: 'out', state: 'CLEAN' },
    { sink: 'out', state: 'LOST' },
    { sink: 'copy', state: 'UNKNOWN' },
  ],
}
async function scraped(sample: WorkSample): Promise<string[]> {
  const registry = new Registry()
  watchWork(registry, () => [sample])
  const text = await registry.metrics()
  return text.split('\n').filter((line) => line.startsWith('weir_'))
}

test('time of stages by subtask, records by operator over subtasks, lag where it is known, verdicts of sinks', async () => {
  expect(await scraped(job)).toEqual(
    expect.arrayContaining([
      'weir_stage_time_ms_per_second{job="pay",stage="orders",state="busy",subtask="1"} 400',
      'weir_stage_time_ms_per_second{job="pay",stage="orders",state="idle",subtask="0"} 700',
      'weir_stage_time_ms_per_second{job="pay",stage="orders",state="back-pressured",subtask="0"} 100',
      'weir_operator_records_in{job="pay",operator="sums"} 20',
      'weir_operator_records_out{job="pay",operator="sums"} 8',
      'weir_source_lag_records{job="pay",source="orders",split="0"} 7',
      'weir_transactions_lost{job="pay",sink="out",verdict="LOST"} 1',
      'weir_transactions_lost{job="pay",sink="copy",verdict="LOST"} 0',
      'weir_transactions_lost{job="pay",sink="copy",verdict="UNKNOWN"} 1',
    ]),
  )
  expect((await scraped(job)).filter((line) => line.includes('lag'))).toHaveLength(1)
})

test('latency is a histogram: each bucket holds those before it, the last is all', async () => {
  const lines = (await scraped(job)).filter((line) => line.startsWith('weir_end_to_end'))
  expect(lines).toEqual([
    'weir_end_to_end_latency_seconds_bucket{job="pay",le="0.01"} 1',
    'weir_end_to_end_latency_seconds_bucket{job="pay",le="1"} 4',
    'weir_end_to_end_latency_seconds_bucket{job="pay",le="+Inf"} 6',
    'weir_end_to_end_latency_seconds_sum{job="pay"} 2.6',
    'weir_end_to_end_latency_seconds_count{job="pay"} 6',
  ])
  expect((await scraped({ ...job, latency: null })).filter((line) => line.startsWith('weir_end_to_end'))).toEqual([])
})

test('a wide job has the mean of its subtasks: a scrape does not grow with it', async () => {
  const slices = Array.from({ length: 1_000 }, (_, i) => slice(i, i % 2 === 0 ? 100 : 300))
  const lines = (await scraped({ ...job, slices })).filter((line) => line.startsWith('weir_stage_time'))
  expect(lines).toHaveLength(3)
  const [series, mean] = lines[0]!.split('} ')
  expect(series).toBe('weir_stage_time_ms_per_second{job="pay",stage="orders",state="busy",subtask="mean"')
  expect(Number(mean)).toBeCloseTo(200)
})
