/**
 * Barriers that overtake on a real fleet: behind a source that is faster than the stage it feeds every channel is full, and
 * epochs become final all the same; what they have overtaken is in them. Killed in the middle, an outside reader recounts.
 */
import type { Manifest } from '@weir/checkpoint'
import { epochsPrefix, openObjectStore } from '@weir/metadata'
import { jobId as idOf } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { broken } from '../checkers/index.ts'
import { Fleet, type JobAnswer } from './fleet.ts'
import { judge } from './judge.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 300_000
const PARTITIONS = 4
const jobFile = new URL('./unaligned.job.ts', import.meta.url).pathname
const fleet = new Fleet()
const objects = openObjectStore(fleet.env)
const topicsOf = (n: number): string[] => ['orders', `sums-${n}`, `counts-${n}`]

beforeAll(async () => {
  await fleet.start({ managers: 1, workers: 2 })
  const [orders] = Object.values(await fleet.topics([...new Set([0, 50].flatMap(topicsOf))], PARTITIONS))
  const lines = Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id)))
  fleet.produce(orders!, lines, PARTITIONS)
})
afterAll(async () => {
  await objects.close()
  await fleet.stop()
})

/** What is in flight in the kept epochs that have something. */
async function inFlight(jobId: string): Promise<{ epoch: number; received: number; unsent: number }[]> {
  const keys = await objects.list(epochsPrefix(idOf(jobId)))
  const found = await Promise.all(keys.filter((key) => key.endsWith('/manifest.json')).map((key) => objects.get(key)))
  return found.flatMap((object) => {
    if (object === null) return []
    const { epoch, subtasks } = JSON.parse(Buffer.from(object.bytes).toString()) as Manifest
    const refs = subtasks.flatMap((subtask) => subtask.inFlight ?? [])
    const records = (hasUnsent: boolean): number =>
      refs.reduce((sum, ref) => sum + (ref.hasUnsent === hasUnsent ? ref.records : 0), 0)
    return refs.length === 0 ? [] : [{ epoch, received: records(false), unsent: records(true) }]
  })
}

test.each([0, 50])(
  'alignedTimeoutMs: %i: epochs become final while channels are full; exactly once under kill -9',
  async (alignedTimeoutMs) => {
    const jobId = `unaligned-${alignedTimeoutMs}-${fleet.run}`
    const [orders, sums, counts] = topicsOf(alignedTimeoutMs).map((name) => `${name}-${fleet.run}`)
    const set = Object.entries({ orders, sums, counts, alignedTimeoutMs }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
    expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')

    /** In the middle of an overload: there is an epoch whose barriers have overtaken. */
    const overtaken = async (): Promise<void> => {
      for (let epoch = 0; ;) {
        const job = await fleet.until(jobId, 'another epoch', (j) => j.finalEpoch > epoch || j.state === 'FINISHED')
        if (job.state !== 'RUNNING') throw new Error(`the job is ${job.state}, and nothing has been overtaken`)
        if ((await inFlight(jobId)).some(({ received }) => received > 0)) return
        epoch = job.finalEpoch
      }
    }
    // Whether an alignment takes longer than its time is the machine's to say.
    if (alignedTimeoutMs === 0) await overtaken()
    else await fleet.until(jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
    const before = await fleet.job(jobId)
    await fleet.kill(fleet.workers[0]!)
    await fleet.addWorker()
    const isAgain = (j: JobAnswer): boolean => j.restarts > before.restarts || j.generation > before.generation
    const again = await fleet.until(jobId, 'to run again', isAgain)
    const reached = Math.max(again.finalEpoch, before.finalEpoch)
    // On a fast machine the rest may be done before an epoch is: then one kill has to do.
    const isOn = (j: JobAnswer): boolean => j.finalEpoch > reached || j.state === 'FINISHED'
    const on = await fleet.until(jobId, 'an epoch after the restart', isOn)
    if (on.state !== 'FINISHED') {
      await fleet.kill(fleet.workers[0]!)
      await fleet.addWorker()
    }
    const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')

    const judged = await judge(fleet, { sums: sums!, counts: counts! }, expectation(ORDERS))
    expect(broken(...Object.values(judged))).toEqual([])
    expect(await fleet.openTransactions(jobId)).toEqual([])
    // The last epoch is aligned: whatever is started from it needs no records in flight.
    expect((await inFlight(jobId)).filter(({ epoch }) => epoch >= end.finalEpoch)).toEqual([])
  },
  180_000,
)
