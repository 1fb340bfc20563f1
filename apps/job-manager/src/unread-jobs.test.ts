/** A leader that has not read its jobs yet: of one it does not know it cannot say that there is none. */
import type { JobRecord } from '@weir/checkpoint'
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { digest, jobId } from '@weir/model'
import { JobsClient } from '@weir/wire'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { testManager, type TestManager } from './rest/testing.ts'

const plan: PlanSummary = {
  ...{ version: 1, name: 'j', settings: defaultSettings, nodes: [], edges: [], stages: 1, sources: [], sinks: [] },
}
const record: JobRecord = {
  ...{ jobId: jobId('a'), name: 'a', bundleDigest: digest('b'), graphHash: 'g', submittedAt: 1, desired: 'running' },
  ...{ plan, ended: { state: 'FINISHED', at: 2, error: null, ledger: 'closed', swept: 'all' } },
}
const read = Promise.withResolvers<readonly JobRecord[]>()
let manager: TestManager
let client: JobsClient
beforeAll(async () => {
  manager = await testManager({}, read.promise)
  client = new JobsClient([manager.grpc], { token: null })
})
afterAll(async () => {
  client.close()
  await manager.close()
})

test.each(['jobs/a', 'jobs'])('REST says of %s when to ask again', async (path) => {
  const answer = await fetch(`${manager.url}/api/v1/${path}`)
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await answer.json()).toMatchObject({ code: 'JOBS_UNREAD', kind: 'retry' })
})

test('its time is the fleet’s all the same', async () => {
  await expect(manager.manager.led()).resolves.toBe(manager.term)
})

test('the client waits as it does for a leader, and is told then', async () => {
  const term = vi.spyOn(manager.manager, 'term')
  const asked = client.get('a')
  await vi.waitUntil(() => term.mock.calls.length > 0)
  read.resolve([record])
  expect(await asked).toMatchObject({ jobId: 'a', state: 'FINISHED' })
  await expect(client.get('b')).rejects.toMatchObject({ code: 'JOB_UNKNOWN' })
})
