/** A rate that somebody asks for, over the real metadata of the embedded mode: the record, and the terms that follow. */
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { openEmbeddedMetadata } from '@weir/metadata'
import { digest, jobId } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { FleetServer } from '@weir/wire'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { removeFolder } from './fixture.ts'
import { Term } from './term.ts'

const plan: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, stages: 1, sources: ['in'], sinks: [] },
  nodes: [{ uid: 'in', kind: 'source', config: { recordsPerSecond: 100 }, stage: 0 }],
  edges: [],
}
const id = jobId('j')
const record = {
  ...{ jobId: id, name: 'j', bundleDigest: digest('b'), graphHash: 'g', plan, submittedAt: 1 },
  ...{ desired: 'running' as const, ended: null },
}
const quiet = { debug: () => {}, info: () => {}, warn: () => {} }

test('a rate is recorded before it is told, so the next leader goes on with it; a job that has ended has none to change', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-rates-'))
  const metadata = await openEmbeddedMetadata(dir, systemRandom)
  const fleet = { send: () => true } as unknown as FleetServer
  const lead = async () => {
    const { signal } = new AbortController()
    const leadership = await metadata.election.campaign({ grpcAddress: 'a:1', restAddress: 'a:2' }, signal)
    const stores = metadata.stores(leadership)
    const deps = { leadership, stores, fleet, clock: systemClock, random: systemRandom, log: quiet }
    const term = new Term({ ...deps, metrics: { observe: () => {} } })
    return { term, over: term.run(), leadership, stores }
  }
  const first = await lead()
  await first.term.submit(record)
  const asked = { source: 'in', recordsPerSecond: 7, minRecordsPerSecond: 2, current: null, reason: null }
  expect(first.term.get(id).rates).toMatchObject([{ recordsPerSecond: 100, minRecordsPerSecond: null }])
  expect(await first.term.changes.adjustRate(id, null, { recordsPerSecond: 7, minRecordsPerSecond: 2 })).toEqual([
    asked,
  ])
  await expect(first.term.changes.adjustRate(id, 'out', { recordsPerSecond: 7 })).rejects.toMatchObject({
    code: 'SOURCE_UNKNOWN',
  })
  await expect(first.term.changes.adjustRate(jobId('k'), null, { recordsPerSecond: 7 })).rejects.toMatchObject({
    code: 'JOB_UNKNOWN',
  })
  expect((await first.stores.jobs.get(id))!.rates).toEqual({ in: { recordsPerSecond: 7, minRecordsPerSecond: 2 } })
  await first.leadership.resign()
  const second = await lead()
  await expect.poll(() => second.term.list().map(({ rates }) => rates), { timeout: 20_000 }).toEqual([[asked]])
  await second.term.changes.cancel(id)
  await expect.poll(() => second.term.get(id).state, { timeout: 20_000 }).toBe('CANCELLED')
  // Its state is told a moment before whoever ran it is gone.
  const again = (): Promise<unknown> =>
    second.term.changes.adjustRate(id, null, { recordsPerSecond: 7 }).catch((error: { code: string }) => error.code)
  await expect.poll(again, { timeout: 20_000 }).toBe('JOB_NOT_RUNNING')
  await second.leadership.resign()
  await metadata.close()
  await removeFolder(dir)
})
