/** The driver against coordinators that are busy: what happens when its process is stopped in between (SIGSTOP, a paused machine). */
import type { Clock } from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { KafkaConnections } from './connections.ts'
import { TransactionLane } from './lane.ts'

const CONCURRENT_TRANSACTIONS = 51

/** Sleeps take no time, but the `n`th one: that is when the process stands still. */
function clockThatStandsStill(n: number, forMs: number): Clock {
  let [now, sleeps] = [0, 0]
  return {
    now: () => now,
    monotonic: () => now,
    sleep: (ms) => {
      now += ms + (++sleeps === n ? forMs : 0)
      return Promise.resolve()
    },
    after: () => () => {},
  }
}

/** Answers "later" so often, then with an identity. */
function coordinator(later: number) {
  const asked: string[] = []
  const ask = (_to: unknown, { apiName }: { apiName: string }) => {
    asked.push(apiName)
    const errorCode = asked.length <= later ? CONCURRENT_TRANSACTIONS : 0
    return Promise.resolve({ errorCode, producerId: 7n, producerEpoch: asked.length })
  }
  return { asked, kafka: { ask } as unknown as KafkaConnections }
}

const laneOver = (kafka: KafkaConnections, clock: Clock) =>
  new TransactionLane(
    { transactionalId: 'weir.j.out.0.0', protocol: 'v2', transactionTimeoutMs: 60_000 },
    { kafka, clock, signal: new AbortController().signal, released: () => {} },
  )

describe('taking an id over', () => {
  test('goes on as long as the coordinator says "later"', async () => {
    const { asked, kafka } = coordinator(5)
    await laneOver(kafka, clockThatStandsStill(3, 1_000)).fence()
    expect(asked).toHaveLength(6)
  })

  test('ends where the process has stood still: whoever was given its work has the id by now', async () => {
    const { asked, kafka } = coordinator(5)
    const fenced = laneOver(kafka, clockThatStandsStill(3, 30_000)).fence()
    await expect(fenced).rejects.toMatchObject({ code: 'PROCESS_SUSPENDED', kind: 'restart' })
    expect(asked).toHaveLength(3)
  })
})
