/** REST, health, hand-over: what an operator does to a fleet that is well. */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet, mainJob } from './fleet.ts'
import { orderAt } from './orders.ts'

/** An order that comes when its window has long been over. */
const LATE = 400
const fleet = new Fleet()
const jobId = `admin-${fleet.run}`
beforeAll(async () => {
  await fleet.start({ managers: 2, workers: 2 })
  const topics = await fleet.topics(['orders', 'sums', 'counts'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: 20_000 }, (_, id) => JSON.stringify(id === LATE ? { ...orderAt(id), ts: 0 } : orderAt(id))),
  )
  const set = Object.entries({ ...topics, intervalMs: 1_000, rate: 200 })
  const submitted = await fleet.cli(
    ...['submit', mainJob, '--id', jobId, ...set.flatMap(([k, v]) => ['--set', `${k}=${v}`])],
  )
  expect(submitted.stderr).toBe('')
})
afterAll(() => fleet.stop())

test('REST shows jobs, checkpoints and the fleet; problems are RFC 9457; OpenAPI describes it', async () => {
  const { http } = (await fleet.leader()).ready
  const get = async (path: string): Promise<Response> => fetch(`http://${http}${path}`)
  await fleet.until(jobId, 'a final epoch', (j) => j.finalEpoch >= 1)
  expect(await (await get('/api/v1/jobs')).json()).toMatchObject([{ jobId, state: 'RUNNING', parallelism: 4 }])
  const checkpoints = (await (await get(`/api/v1/jobs/${jobId}/checkpoints`)).json()) as { status: string }[]
  expect(checkpoints.some((c) => c.status === 'final')).toBe(true)
  expect(await (await get('/api/v1/task-managers')).json()).toMatchObject([{ slots: 4 }, { slots: 4 }])
  const missing = await get('/api/v1/jobs/nobody')
  expect(missing.status).toBe(404)
  expect(missing.headers.get('content-type')).toContain('application/problem+json')
  expect(await missing.json()).toMatchObject({ code: 'JOB_UNKNOWN', status: 404, type: 'urn:weir:error:JOB_UNKNOWN' })
  const openapi = (await (await get('/docs-json')).json()) as { paths: object }
  expect(Object.keys(openapi.paths)).toEqual(
    expect.arrayContaining([
      '/api/v1/jobs',
      '/api/v1/jobs/{id}',
      '/api/v1/jobs/{id}/checkpoints',
      '/api/v1/task-managers',
    ]),
  )
})

test('a record that comes too late for its window is told of by REST and metrics', async () => {
  const { http } = (await fleet.leader()).ready
  const counted = new RegExp(`weir_operator_late_records\\{.*job="${jobId}".*operator="per-10s".*\\} 1\\b`)
  const metrics = async (): Promise<string> => (await fetch(`http://${http}/metrics`)).text()
  await expect.poll(metrics).toMatch(counted)
  const { slices } = await fleet.job(jobId)
  expect(slices.flatMap(({ late }) => late)).toEqual([{ operator: 'per-10s', records: 1 }])
})

test('who does not lead sends on to the leader', async () => {
  const leader = await fleet.leader()
  const other = fleet.managers.find((m) => m !== leader)!
  const answer = await fetch(`http://${other.ready.http}/api/v1/jobs`, { redirect: 'manual' })
  expect(answer.status).toBe(307)
  expect(answer.headers.get('location')).toBe(`http://${leader.ready.http}/api/v1/jobs`)
})

test('every process has livez, readyz, healthz and metrics', async () => {
  for (const { ready } of [...fleet.managers, ...fleet.workers]) {
    for (const path of ['livez', 'readyz', 'healthz', 'metrics']) {
      expect({ path, status: (await fetch(`http://${ready.http}/${path}`)).status }).toEqual({ path, status: 200 })
    }
  }
  const metrics = await (await fetch(`http://${(await fleet.leader()).ready.http}/metrics`)).text()
  expect(metrics).toMatch(new RegExp(`weir_job_running{job="${jobId}",service="job-manager"} 1`))
  expect(metrics).toMatch(/weir_checkpoint_duration_seconds_count{.*} [1-9]/)
  const calls = metrics.split('\n').filter((line) => line.startsWith('http_request_duration_seconds_count'))
  expect(calls.join('\n')).toMatch(/route="\/api\/v1\/jobs\/:id".*status="200"} [1-9]/)
})

test('SIGTERM drains a task-manager: its slices run elsewhere before it goes', async () => {
  const leaving = fleet.workers.shift()!
  const gone = once(leaving.child, 'exit')
  leaving.child.kill('SIGTERM')
  expect(await gone).toEqual([0, null])
  const job = await fleet.until(jobId, 'running elsewhere', (j) => j.state === 'RUNNING')
  expect(new Set(job.slices.map((s) => s.taskManagerId)).size).toBe(1)
  await fleet.until(jobId, 'going on', (j) => j.finalEpoch > job.finalEpoch)
})

test('SIGTERM of the leader gives the lease back: the other leads without waiting for its end', async () => {
  const leader = await fleet.leader()
  const before = await fleet.job(jobId)
  const gone = once(leader.child, 'exit')
  fleet.managers.splice(fleet.managers.indexOf(leader), 1)
  leader.child.kill('SIGTERM')
  expect(await gone).toEqual([0, null])
  const next = await fleet.leader()
  expect(next).not.toBe(leader)
  await fleet.until(jobId, 'the next leader to go on', (j) => j.finalEpoch > before.finalEpoch)
  expect((await fleet.cli('cancel', jobId)).status).toBe(0)
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
