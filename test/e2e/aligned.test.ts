/**
 * Watermark alignment across subtasks on a real fleet: two partitions in two task-managers, the event time of one runs forty times as
 * fast. It waits for the other one, as REST and metrics show, also behind a kill -9; and goes on when that has nothing any more.
 */
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet, UNTIL_TIMEOUT_MS } from './fleet.ts'

const jobFile = new URL('./aligned.job.ts', import.meta.url).pathname
const START = 1_700_000_000_000
const SLOW = { records: 4_000, stepMs: 1 }
const FAST = { records: 3_000, stepMs: 40 }
/** Over both. */
const RATE = 500
const WITHIN_MS = 2_000
/** Event time for which the slow one is looked at behind the kill. */
const ON_MS = 500
/** What one read has more. Unaligned it would be two minutes in the end. */
const LEAD_MS_MAX = WITHIN_MS + 10_000

const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

interface Split {
  readonly split: number
  readonly watermark: number
  readonly state: string
}
async function splitsOf(jobId: string): Promise<{ slow: Split; fast: Split; restarts: number } | null> {
  const { slices, restarts } = (await fleet.job(jobId)) as unknown as {
    slices: readonly { splits: readonly Split[] }[]
    restarts: number
  }
  const [slow, fast, ...more] = slices.flatMap(({ splits }) => splits).toSorted((a, b) => a.split - b.split)
  return slow !== undefined && fast !== undefined && more.length === 0 ? { slow, fast, restarts } : null
}

async function isInMetrics(jobId: string): Promise<boolean> {
  const metrics = await (await fetch(`http://${fleet.managers[0]!.ready.http}/metrics`)).text()
  return (
    new RegExp(`weir_source_ahead_splits\\{.*job="${jobId}".*\\} 1`).test(metrics) &&
    new RegExp(`weir_source_watermark_skew_seconds\\{.*job="${jobId}".*source="ticks".*\\} \\d`).test(metrics)
  )
}

test('the partition that is ahead waits within the bound, also behind a kill -9, and goes on when the other one is idle', async () => {
  const jobId = `aligned-${fleet.run}`
  const { ticks, seen } = (await fleet.topics(['ticks', 'seen'], 2)) as { ticks: string; seen: string }
  const lines = [SLOW, FAST].flatMap(({ records, stepMs }, p) =>
    Array.from({ length: records }, (_, i) => JSON.stringify({ partition: `p${p}`, ts: START + i * stepMs })),
  )
  fleet.produce(ticks, lines, 2, (line) => (line.includes('"p0"') ? 0 : 1))
  const set = Object.entries({ ticks, seen, rate: RATE, within: WITHIN_MS }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')
  const slices = (await fleet.until(jobId, 'an epoch', (j) => j.finalEpoch >= 2)).slices
  expect(new Set(slices.map(({ taskManagerId }) => taskManagerId)).size).toBe(2)

  let lead = 0
  /** Of the slow one. */
  let killedAt: number | null = null
  let isAheadAgain = false
  for (const deadline = performance.now() + UNTIL_TIMEOUT_MS; !isAheadAgain;) {
    const splits = await splitsOf(jobId)
    // What is told is of the last second: only where both stand in the same report it is a lead.
    if (splits !== null && splits.slow.watermark >= START && splits.fast.watermark >= START) {
      const { slow, fast, restarts } = splits
      if (slow.state !== 'idle') lead = Math.max(lead, fast.watermark - slow.watermark)
      if (fast.state === 'ahead' && killedAt !== null) isAheadAgain = restarts >= 1 && slow.watermark > killedAt + ON_MS
      // It waits in turns: metrics that were asked for a moment later may be of a moment in which it reads.
      else if (fast.state === 'ahead' && (await isInMetrics(jobId))) {
        killedAt = slow.watermark
        await fleet.kill(fleet.workers[0]!)
        await fleet.addWorker()
      }
    }
    if (performance.now() > deadline) {
      const where = killedAt === null ? 'before the kill' : 'behind the kill'
      throw new Error(`the fast one does not wait ${where}: ${JSON.stringify(splits)}`)
    }
    await systemClock.sleep(50)
  }
  expect(lead).toBeGreaterThan(0)
  expect(lead).toBeLessThan(LEAD_MS_MAX)
  await fleet.unlimited(jobId)

  const all = SLOW.records + FAST.records
  const end = await fleet.until(jobId, 'all to be read', (j) => j.recordsIn === all)
  expect(end.restarts).toBeGreaterThanOrEqual(1)
  await fleet.until(jobId, 'two epochs behind it', (j) => j.finalEpoch >= end.publishedEpoch + 2)
  expect((await fleet.cli('cancel', jobId)).stderr).toBe('')
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  const counts = fleet.read(seen).map(([key, value]) => `${key} ${(value as { count: number }).count}`)
  const expected = [SLOW, FAST].flatMap(({ records }, p) => Array.from({ length: records }, (_, i) => `p${p} ${i + 1}`))
  expect(counts.toSorted()).toEqual(expected.toSorted())
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
