/** etcd has done what it was asked for, and the answer never came: over the real metadata of the embedded mode. */
import type { JobRecord, JobStore } from '@weir/checkpoint'
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { openEmbeddedMetadata } from '@weir/metadata'
import { WeirError, digest, jobId } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { FleetServer } from '@weir/wire'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ended, job, removeFolder } from './fixture.ts'
import { Term } from './term.ts'

const plan: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
}
const id = jobId('j')
const record: JobRecord = {
  ...{ jobId: id, name: 'j', bundleDigest: digest('b'), graphHash: 'g', plan, submittedAt: 1 },
  ...{ desired: 'running' as const, ended: null },
}
const quiet = { debug: () => {}, info: () => {}, warn: () => {} }
const nothing = { from: '3', droppedState: [], repeatedOutput: false }

/** Answers of writes are lost while `losing`; reads fail while `silent`. */
class Unreliable implements JobStore {
  losing = false
  silent = false
  readonly #jobs: JobStore

  constructor(jobs: JobStore) {
    this.#jobs = jobs
  }

  create = (record: JobRecord) => this.#answered(this.#jobs.create(record))
  update = (of: JobRecord['jobId'], change: (record: JobRecord) => JobRecord) =>
    this.#answered(this.#jobs.update(of, change))
  list = () => this.#jobs.list()
  async get(of: JobRecord['jobId']): Promise<JobRecord | null> {
    if (this.silent) throw away()
    return this.#jobs.get(of)
  }

  async #answered<T>(written: Promise<T>): Promise<T> {
    const answer = await written
    if (this.losing) throw away()
    return answer
  }
}
const away = () => new WeirError({ code: 'ETCD_UNAVAILABLE', kind: 'retry' }, 'no answer from etcd')

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function leading() {
  const dir = await mkdtemp(join(tmpdir(), 'weir-lost-answers-'))
  const metadata = await openEmbeddedMetadata(dir, systemRandom)
  closing.push(async () => {
    await metadata.close()
    await removeFolder(dir)
  })
  const { signal } = new AbortController()
  const leadership = await metadata.election.campaign({ grpcAddress: 'a:1', restAddress: 'a:2' }, signal)
  return termOver(leadership, metadata.stores(leadership))
}

function termOver(leadership: ConstructorParameters<typeof Term>[0]['leadership'], stores: LeaderStoresOf) {
  const over = new AbortController()
  const jobs = new Unreliable(stores.jobs)
  const fleet = { send: () => true } as unknown as FleetServer
  const lease = { ...leadership, live: true, signal: over.signal }
  const deps = { leadership: lease, stores: { ...stores, jobs }, fleet, clock: systemClock, random: systemRandom }
  const term = new Term({ ...deps, log: quiet, metrics: { observe: () => {} } })
  const ran = term.run()
  closing.push(async () => {
    over.abort()
    await ran
  })
  return { term, jobs }
}
type LeaderStoresOf = ConstructorParameters<typeof Term>[0]['stores']
const statesOf = (term: Term) => term.list().map((view) => view.state)

test('a job that was recorded without an answer runs as soon as etcd tells so, and not first under the next leader', async () => {
  const { term, jobs } = await leading()
  jobs.losing = jobs.silent = true
  await expect(term.submit(record)).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE', kind: 'retry' })
  jobs.losing = jobs.silent = false
  await expect.poll(() => statesOf(term), { timeout: 20_000 }).toEqual(['CREATED'])
})

test('submitted once more, it is there already', async () => {
  const { term, jobs } = await leading()
  jobs.losing = true
  await expect(term.submit(record)).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' })
  jobs.losing = false
  await expect(term.submit(record)).rejects.toMatchObject({ code: 'JOB_EXISTS' })
  await expect.poll(() => statesOf(term), { timeout: 20_000 }).toEqual(['CREATED'])
})

test('a job that goes on from what it has kept does so although nobody was told', async () => {
  const before = await ended({ ledger: 'closed', swept: 'all' })
  closing.push(() => before.close())
  const { term, jobs } = termOver(before.leadership, before.stores)
  await expect.poll(() => statesOf(term), { timeout: 20_000 }).toEqual(['STOPPED'])
  jobs.losing = jobs.silent = true
  const wanted = { ...before.record, submittedAt: 9, ended: null }
  await expect(term.submit(wanted, nothing)).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' })
  expect(statesOf(term)).toEqual(['STOPPED'])
  jobs.losing = jobs.silent = false
  await expect.poll(() => term.get(job).submittedAt, { timeout: 20_000 }).toBe(9)
  expect(term.list()).toHaveLength(1)
  await expect(term.submit({ ...wanted, submittedAt: 10 }, nothing)).rejects.toMatchObject({ code: 'JOB_EXISTS' })
})

test('two that start a job at once start it once', async () => {
  const before = await ended({ ledger: 'closed', swept: 'all' })
  closing.push(() => before.close())
  const { term } = termOver(before.leadership, before.stores)
  await expect.poll(() => statesOf(term), { timeout: 20_000 }).toEqual(['STOPPED'])
  const wanted = (submittedAt: number) => ({ ...before.record, submittedAt, ended: null })
  const both = await Promise.allSettled([9, 10].map((at) => term.submit(wanted(at), nothing)))
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'JOB_EXISTS' } })
  const submittedAt = both[0]!.status === 'fulfilled' ? 9 : 10
  expect(term.list()).toMatchObject([{ jobId: job, submittedAt }])
})

test('a stop whose answer was lost is asked for again and is the same one; another name is another stop', async () => {
  const { term, jobs } = await leading()
  await term.submit(record)
  jobs.losing = true
  await expect(term.savepoints.stop(id, 'last')).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' })
  jobs.losing = false
  expect(await term.savepoints.stop(id, 'last')).toMatchObject({ name: 'last', state: 'IN_PROGRESS', stopped: true })
  expect(await term.savepoints.stop(id, 'last')).toMatchObject({ name: 'last', state: 'IN_PROGRESS' })
  expect(term.get(id).state).toBe('STOPPING')
  await expect(term.savepoints.stop(id, 'other')).rejects.toMatchObject({ code: 'JOB_ENDING' })
})
