/** Counts the records of each partition, in epochs that are cut at an event time. */
import { job, json, kafka, params } from '@weir/sdk'

export interface Tick {
  readonly partition: string
  readonly ts: number
}
const p = params({
  ...{ ticks: 'ticks', seen: 'seen', rate: Number },
  ...{ alignTimeoutMs: 20_000, toleratedAborts: 3, cutBoundMs: 60_000 },
})

export default job(
  'watermark',
  {
    parallelism: 2,
    checkpoint: {
      ...{ mode: 'watermark', cutBoundMs: p.cutBoundMs, retained: 100 },
      ...{ intervalMs: 300, minPauseMs: 0, everyRecords: null },
      ...{ alignTimeoutMs: p.alignTimeoutMs, toleratedAborts: p.toleratedAborts },
    },
    restart: { attempts: 20, delayMs: 200 },
  },
  (flow) => {
    flow
      .from(
        kafka.topic(p.ticks, {
          value: json<Tick>(),
          timestamp: (tick) => tick.ts,
          recordsPerSecond: p.rate,
        }),
        'ticks',
      )
      .keyBy((tick) => tick.partition, 'by-partition')
      .reduce('count', { count: 0, last: 0 }, ({ count }, tick) => ({ count: count + 1, last: tick.ts }))
      .to(kafka.sink(p.seen), 'seen')
  },
)
