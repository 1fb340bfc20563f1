/** How many jobs a leader runs at once, over the real metadata of the embedded mode. */
import type { JobRecord } from '@weir/checkpoint'
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { openEmbeddedMetadata } from '@weir/metadata'
import { digest, jobId, type WeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { FleetServer } from '@weir/wire'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { removeFolder } from './fixture.ts'
import { JOBS_MAX, Term } from './term.ts'

const plan: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
}
const record = (id: string): JobRecord => ({
  ...{ jobId: jobId(id), name: 'j', bundleDigest: digest('b'), graphHash: 'g', plan, submittedAt: 1 },
  ...{ desired: 'running' as const, ended: null },
})
const quiet = { debug: () => {}, info: () => {}, warn: () => {} }

test('the bound is the one that docs/SECURITY.md names', () => {
  expect(JOBS_MAX).toBe(1_000)
})

test('one job more than the bound is refused, also of many at once; one that has ended makes room', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-jobs-max-'))
  const metadata = await openEmbeddedMetadata(dir, systemRandom)
  const { signal } = new AbortController()
  const leadership = await metadata.election.campaign({ grpcAddress: 'a:1', restAddress: 'a:2' }, signal)
  const fleet = { send: () => true } as unknown as FleetServer
  const deps = { leadership, stores: metadata.stores(leadership), fleet, clock: systemClock, random: systemRandom }
  const term = new Term({ ...deps, log: quiet, metrics: { observe: () => {} }, jobsMax: 2 })
  void term.run()

  const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd'].map((id) => term.submit(record(id))))
  const refused = { status: 'rejected', reason: { code: 'JOBS_MAX_REACHED', kind: 'retry' } }
  expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }, refused, refused])
  await expect(term.submit(record('a'))).rejects.toMatchObject({ code: 'JOBS_MAX_REACHED' })
  expect(term.list().map((job) => job.jobId)).toEqual(['a', 'b'])

  await term.changes.cancel(jobId('a'))
  const codeOf = async (id: string): Promise<string> =>
    term.submit(record(id)).then(
      () => 'none',
      (error: unknown) => (error as WeirError).code,
    )
  // One that is not taken leaves its place to the next. What was refused a moment before has changed nothing.
  await expect.poll(() => codeOf('b'), { timeout: 20_000 }).toBe('JOB_EXISTS')
  expect(term.get(jobId('a')).state).toBe('CANCELLED')
  await term.submit(record('c'))

  await leadership.resign()
  await metadata.close()
  await removeFolder(dir)
}, 60_000)
