import { WeirError } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditEntry } from '../audit/entry.ts'
import { testManager, type TestManager } from './testing.ts'

let here: TestManager
beforeAll(async () => {
  here = await testManager()
})
afterAll(() => here.close())

test('whoever is asked for the audit log answers with its own, whether it leads or not', async () => {
  const body = { recordsPerSecond: 5 }
  const asked = { method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  expect((await fetch(`${here.url}/api/v1/jobs/nobody/rate`, asked)).status).toBe(404)
  // Another one leads from now on.
  const notLeader = new WeirError({ code: 'NOT_LEADER', kind: 'retry' }, 'this job-manager does not lead')
  Object.assign(here.manager, {
    term: () => Promise.reject(notLeader),
    leader: () => Promise.resolve({ restAddress: 'elsewhere:1' }),
  })
  expect((await fetch(`${here.url}/api/v1/jobs`, { redirect: 'manual' })).status).toBe(307)
  const answer = await fetch(`${here.url}/api/v1/audit?limit=1`, { redirect: 'manual' })
  expect(answer.status).toBe(200)
  const [newest] = (await answer.json()) as readonly AuditEntry[]
  expect(newest).toMatchObject({ target: 'nobody', step: 'refused', error: { code: 'JOB_UNKNOWN' } })
  expect(answer.headers.get('link')).toContain('rel="next"')
})
