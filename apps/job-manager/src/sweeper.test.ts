import { manifestKey } from '@weir/metadata'
import type { JobRecord } from '@weir/checkpoint'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import { SAVEPOINT, STAGED, at, ended, job } from './fixture.ts'
import { Sweeper } from './sweeper.ts'

const TTL = 1_000

async function swept() {
  const of = await ended()
  const { record, leadership, stores } = of
  const clock = new ManualClock()
  const said: string[] = []
  let latest: JobRecord = record
  const sweeper = new Sweeper(
    { leaseTtlMs: TTL },
    { leadership, stores, clock, recorded: (r) => void (latest = r), publish: (channel) => void said.push(channel) },
  )
  return { ...of, sweeper, clock, said, latest: () => latest }
}

test('A22: two leases after the end what no kept epoch names is deleted; savepoints and unproven output are not', async () => {
  const j = await swept()
  j.sweeper.ended(j.record)
  j.clock.advance(2 * TTL - 1)
  expect(await j.lie()).toEqual([1, 2, 3])
  j.clock.advance(1)
  await expect.poll(() => j.said).toEqual(['weir:sweep:swept'])
  expect(await j.lie()).toEqual([3])
  expect([await j.has(SAVEPOINT), await j.has(STAGED)]).toEqual([true, true])
  expect(j.latest().ended).toMatchObject({ swept: 'epochs' })
  // Every transaction is proven, and none can come any more.
  const closed = { ...j.latest(), ended: { ...j.latest().ended!, ledger: 'closed' as const } }
  await j.stores.jobs.update(job, () => closed)
  j.sweeper.ended(closed)
  j.clock.advance(0)
  await expect.poll(() => j.latest().ended).toMatchObject({ swept: 'all' })
  expect([await j.has(SAVEPOINT), await j.has(STAGED)]).toEqual([true, false])
  await j.close()
})

test('a job that runs again meanwhile loses nothing, and its record is its own', async () => {
  const j = await swept()
  j.sweeper.ended(j.record)
  j.sweeper.remove(job)
  j.clock.advance(10 * TTL)
  expect(await j.lie()).toEqual([1, 2, 3])
  expect((await j.stores.jobs.get(job))!.ended).not.toHaveProperty('swept')
  await j.close()
})

test('nothing is deleted while a kept manifest cannot be read: nobody knows what it names', async () => {
  const j = await swept()
  await j.stores.objects.put(manifestKey(job, at(3)), Buffer.from('damaged'))
  j.sweeper.ended(j.record)
  j.clock.advance(2 * TTL)
  await expect.poll(() => j.said).toEqual(['weir:sweep:swept'])
  expect(await j.lie()).toEqual([1, 2, 3])
  await j.close()
})
