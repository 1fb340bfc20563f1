/** Orders that are scored one after the other by something slow; degraded, by something that is less good and takes less. */
import { job, json, kafka, params } from '@weir/sdk'
import { setTimeout as wait } from 'node:timers/promises'

const p = params({ orders: 'orders', scores: 'scores', scoreMs: 6, degradedMs: 2 })

export interface Score {
  readonly id: number
  readonly degraded: boolean
}

export default job(
  'overload',
  {
    degradable: true,
    checkpoint: { intervalMs: 200, everyRecords: null, minPauseMs: 50 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    flow
      .from(kafka.topic(p.orders, { value: json<{ id: number }>() }))
      .asyncMap(
        'score',
        async ({ id }, { degraded }): Promise<Score> => {
          await wait(degraded ? p.degradedMs : p.scoreMs)
          return { id, degraded }
        },
        { capacity: 1 },
      )
      .to(kafka.sink(p.scores, { value: json<Score>() }))
  },
)
