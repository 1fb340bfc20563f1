/**
 * A custom ResumableOperator on a real fleet (the example of README.md): its task-manager is killed; later everything stands
 * still while the log is deleted below the checkpoint, and the job goes on as its source's policy says.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Batch } from '../../apps/examples/src/03-batches.ts'
import { Fleet, recoveries, type JobAnswer } from './fleet.ts'

const ORDERS = 40_000
const RATE = 2_500
const PARTITIONS = 4
const BATCH_ORDERS = 100
const example = new URL('../../apps/examples/src/03-batches.ts', import.meta.url).pathname
const amountOf = (id: number): number => (id * 7919) % 10_000
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

test('every order in exactly one batch under kill -9; what was deleted unread is counted and told', async () => {
  const jobId = `batches-${fleet.run}`
  const { orders, batches } = (await fleet.topics(['orders', 'batches'], PARTITIONS)) as Record<string, string>
  const lines = Array.from({ length: ORDERS }, (_, id) => JSON.stringify({ id, amountMinor: amountOf(id) }))
  fleet.produce(orders!, lines, PARTITIONS)
  const settings = { orders, batches, parallelism: 2, intervalMs: 300, bounded: true, rate: RATE, goOn: true }
  const set = Object.entries(settings).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  expect((await fleet.cli('submit', example, '--id', jobId, ...set)).stderr).toBe('')
  const second = await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)

  await fleet.kill(fleet.workers[0]!)
  const again = (j: JobAnswer): boolean => recoveries(j) >= 1 && j.finalEpoch > second.finalEpoch
  await fleet.until(jobId, 'to run again', again)

  while (fleet.workers.length > 0) await fleet.kill(fleet.workers[0]!)
  await fleet.truncate(orders!, PARTITIONS)
  await fleet.addWorker()
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')

  const read = fleet.read(batches!).map(([, batch]) => batch as Batch)
  const ids = read.flatMap((batch) => batch.orders)
  const skipped = sumOf(end, (gap) => gap.skippedRecords)
  expect(skipped).toBeGreaterThan(0)
  expect([new Set(ids).size, ids.length + skipped]).toEqual([ids.length, ORDERS])
  for (const batch of read) expect(batch.sumMinor).toBe(batch.orders.reduce((sum, id) => sum + amountOf(id), 0))
  // The hook's state: each subtask numbers what it takes, 100, 200, … and the rest at the end, each once.
  const [whole, rest] = [true, false].map((is) => read.filter((b) => (b.orders.length === BATCH_ORDERS) === is))
  const perSubtask = Map.groupBy(read, ({ orders: [first] }) => (first! % PARTITIONS) % 2)
  for (const [, of] of perSubtask) {
    const taken = of.map((b) => b.taken).toSorted((a, b) => a - b)
    const all = of.reduce((sum, b) => sum + b.orders.length, 0)
    const full = Array.from({ length: Math.floor(all / BATCH_ORDERS) }, (_, i) => (i + 1) * BATCH_ORDERS)
    expect(taken).toEqual(all % BATCH_ORDERS === 0 ? full : [...full, all])
  }
  expect([whole!.length > 10, rest!.length <= 2, perSubtask.size]).toEqual([true, true, 2])

  expect(end.sourceGaps.map(({ source, partition, policy }) => [source, partition, policy])).toEqual(
    Array.from({ length: PARTITIONS }, (_, partition) => ['orders', partition, 'earliest']),
  )
  expect(end.alerts).toContainEqual(
    expect.objectContaining({ code: 'SOURCE_GAP', message: expect.stringContaining('policy "earliest" goes on at') }),
  )
  const { http } = (await fleet.leader()).ready
  const metrics = await (await fetch(`http://${http}/metrics`)).text()
  const [, records] = new RegExp(`weir_source_gap_records{[^}]*job="${jobId}"[^}]*} (\\d+)`).exec(metrics) ?? []
  expect(Number(records)).toBe(sumOf(end, (gap) => gap.gapRecords))
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

const sumOf = ({ sourceGaps }: JobAnswer, of: (gap: JobAnswer['sourceGaps'][number]) => number): number =>
  sourceGaps.reduce((all, gap) => all + of(gap), 0)
