/** Counts the records of each partition; the one that is ahead in event time waits for the other one, in another subtask. */
import { job, json, kafka, params } from '@weir/sdk'
import type { Tick } from './watermark.job.ts'

const p = params({ ticks: 'ticks', seen: 'seen', rate: Number, within: Number })

export default job(
  'aligned',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 300, minPauseMs: 0, everyRecords: null },
    restart: { attempts: 20, delayMs: 200 },
  },
  (flow) => {
    flow
      .from(
        kafka.topic(p.ticks, {
          value: json<Tick>(),
          timestamp: (tick) => tick.ts,
          recordsPerSecond: p.rate,
          alignWithin: p.within,
          idleAfter: '2s',
        }),
        'ticks',
      )
      .keyBy((tick) => tick.partition, 'by-partition')
      .reduce('count', { count: 0 }, ({ count }) => ({ count: count + 1 }))
      .to(kafka.sink(p.seen), 'seen')
  },
)
