/** Transaction ids of a real fleet: two task-managers give them out, by the leader's clock. */
import { JobManagerClock, parseDtxId } from '@weir/idempotency'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DRIFT_MS_MAX } from '../../libs/idempotency/src/dtxid/clock.ts'
import { Fleet } from './fleet.ts'

const fleet = new Fleet()
beforeAll(async () => {
  await fleet.start({ managers: 2, workers: 0 })
  for (let i = 0; i < 2; i++) await fleet.addWorker({ WEIR_DTXID_DATACENTER: '3' })
})
afterAll(() => fleet.stop())

interface Answer {
  readonly form: string
  readonly ids: readonly string[]
}
const ask = (http: string, count: string): Promise<Response> =>
  fetch(`http://${http}/api/v1/dtxids?count=${count}`, { method: 'POST' })
const take = async (http: string, count = 500): Promise<readonly string[]> => {
  const answer = await ask(http, String(count))
  expect(answer.status).toBe(200)
  return ((await answer.json()) as Answer).ids
}
const gauges = async (http: string): Promise<Map<string, number>> => {
  const text = await (await fetch(`http://${http}/metrics`)).text()
  return new Map(
    [...text.matchAll(/^(weir_dtxid_\w+)\{.*\} (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)]),
  )
}

test('every job-manager knows who leads, and that one tells the time', async () => {
  const clock = new JobManagerClock({ jobManagers: fleet.jobManagers.split(','), token: null })
  const before = Date.now()
  const now = await clock.now().catch(() => clock.now()) // the first may be the one that does not lead
  expect(now).toBeGreaterThanOrEqual(before)
  expect(now).toBeLessThanOrEqual(Date.now())
  clock.close()
})

test('ids of two task-managers are unique, those of each are in order; health and metrics show them', async () => {
  const [a, b] = fleet.workers.map(({ ready }) => ready.http) as [string, string]
  const rounds: (readonly string[])[] = []
  for (let i = 0; i < 5; i++) rounds.push(...(await Promise.all([take(a), take(b)])))
  const ofA = rounds.filter((_, i) => i % 2 === 0).flat()
  expect(ofA).toEqual(ofA.toSorted((x, y) => (BigInt(x) < BigInt(y) ? -1 : 1)))
  expect(new Set(rounds.flat()).size).toBe(5_000)
  const workers = rounds.map((ids) => new Set(ids.map((id) => parseDtxId(id).worker)))
  expect(new Set(workers.map((w) => w.size))).toEqual(new Set([1]))
  const shown = await gauges(a)
  expect(workers[0]).toEqual(new Set([shown.get('weir_dtxid_worker')]))
  // A clock that is further away is corrected, or no ids are given out.
  expect(Math.abs(shown.get('weir_dtxid_drift_seconds')!)).toBeLessThanOrEqual(DRIFT_MS_MAX / 1_000)
  expect([...shown.keys()]).toHaveLength(7)
  const health = (await (await fetch(`http://${b}/healthz`)).json()) as { dtxid: { phase: string; datacenter: number } }
  expect(health.dtxid).toMatchObject({ phase: 'held', datacenter: 3 })
})

test.each(['0', '4097', 'many'])('count=%s is refused', async (count) => {
  const answer = await ask(fleet.workers[0]!.ready.http, count)
  expect(answer.status).toBe(400)
  expect(answer.headers.get('content-type')).toMatch('application/problem+json')
  expect(await answer.json()).toMatchObject({ code: 'DTXID_INVALID', kind: 'invalid' })
})
