/**
 * Watermark alignment across subtasks on a real fleet: two partitions in two task-managers, the event time of one runs forty times as
 * fast. It waits for the other one, as REST and metrics show, also behind a kill -9; and goes on when that has nothing any more.
 */
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'

const jobFile = new URL('./aligned.job.ts', import.meta.url).pathname
const START = 1_700_000_000_000
const SLOW = { records: 4_000, stepMs: 1 }
const FAST = { records: 3_000, stepMs: 40 }
/** Over both. */
const RATE = 2_000
const WITHIN_MS = 2_000
/** What one read has more. Unaligned it would be 39 s for every second. */
const LEAD_MS_MAX = WITHIN_MS + 10_000

const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

interface Split {
  readonly split: number
  readonly watermark: number
  readonly state: string
}
async function splitsOf(jobId: string): Promise<readonly [slow: Split, fast: Split] | null> {
  const { slices } = (await fleet.job(jobId)) as unknown as { slices: readonly { splits: readonly Split[] }[] }
  const all = slices.flatMap(({ splits }) => splits).toSorted((a, b) => a.split - b.split)
  return all.length === 2 ? [all[0]!, all[1]!] : null
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

  const seenStates = new Set<string>()
  let lead = 0
  let isKilled = false
  for (const deadline = performance.now() + 40_000; ;) {
    const splits = await splitsOf(jobId)
    if (splits !== null) {
      const [slow, fast] = splits
      // What is told is of the last second: only where both stand in the same report it is a lead.
      if (slow.state === 'idle' || slow.watermark >= START + (SLOW.records - 1) * SLOW.stepMs) break
      seenStates.add(fast.state)
      if (slow.watermark >= START && fast.watermark >= START) lead = Math.max(lead, fast.watermark - slow.watermark)
      // It waits in turns: metrics that were asked for a moment later may be of a moment in which it reads.
      if (!isKilled && fast.state === 'ahead' && (await isInMetrics(jobId))) {
        isKilled = true
        await fleet.kill(fleet.workers[0]!)
        await fleet.addWorker()
      }
    }
    if (performance.now() > deadline) throw new Error(`the slow one does not end: ${JSON.stringify(splits)}`)
    await systemClock.sleep(50)
  }
  expect(isKilled).toBe(true)
  expect(seenStates).toContain('ahead')
  expect(lead).toBeGreaterThan(0)
  expect(lead).toBeLessThan(LEAD_MS_MAX)

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
