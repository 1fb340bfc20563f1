import type { Clock } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { NEXT_MANY_MAX, dtxIds63, dtxIds68, type DtxIdOptions, type WorkerIds } from './generator.ts'
import { EtcdModel } from './testing/etcd-model.ts'

const TTL_MS = 10_000
const START = Date.UTC(2026, 0, 1)

/** Time passes when it is told to; what is due runs in between. */
function world(options: Partial<DtxIdOptions> = {}) {
  const due: { at: number; call: () => void }[] = []
  let monotonic = 0
  let wall = START
  const clock: Clock = {
    now: () => wall,
    monotonic: () => monotonic,
    after(ms, call) {
      const one = { at: monotonic + ms, call }
      due.push(one)
      return () => void due.splice(due.indexOf(one), 1)
    },
    sleep: (ms) => new Promise((resolve) => void due.push({ at: monotonic + ms, call: resolve })),
  }
  const etcd = new EtcdModel(TTL_MS)
  const answer = <T>(of: T): Promise<T> => Promise.resolve(of)
  const workers: WorkerIds = {
    list: () => answer(etcd.list(monotonic)),
    claim: (worker, nonce) => answer(etcd.claim(monotonic, worker, nonce)),
    renew: (holder) => answer(etcd.renew(monotonic, holder)),
    extend: (holder, value, over) => answer(etcd.extend(monotonic, holder, value, over)),
    giveBack: (holder) => answer(etcd.giveBack(monotonic, holder)),
    close: () => undefined,
  }
  const deps = {
    ...{ clock, random: systemRandom, workers },
    fleet: { now: () => answer(START + monotonic), close: () => undefined },
  }
  return {
    deps,
    settings: { datacenter: 1, ...options },
    setWall: (ms: number) => void (wall = START + ms),
    async pass(ms: number) {
      for (const end = monotonic + ms; ;) {
        for (let i = 0; i < 20; i++) await Promise.resolve() // answers arrive
        const next = due.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
        const to = next?.at ?? end
        wall += to - monotonic
        monotonic = to
        if (next === undefined) return
        due.splice(due.indexOf(next), 1)
        next.call()
      }
    },
  }
}

test('ids of both forms grow; many at once are in order', async () => {
  const w = world()
  const [narrow, wide] = [dtxIds63(w.settings, w.deps), dtxIds68(w.settings, w.deps)]
  await w.pass(0)
  const ids = [narrow.next(), ...narrow.nextMany(500), narrow.next()]
  expect(ids).toEqual(ids.toSorted((a, b) => (a < b ? -1 : 1)))
  expect(new Set(ids).size).toBe(502)
  const texts = wide.nextMany(NEXT_MANY_MAX)
  expect(texts).toEqual([...new Set(texts)].sort())
  expect([narrow.status.worker, wide.status.worker].every((worker) => worker !== null)).toBe(true)
})

test('faster than the format: an error, and time brings new ones; `take` waits for it', async () => {
  const w = world()
  const ids = dtxIds63(w.settings, w.deps)
  await w.pass(0)
  expect(() => {
    for (;;) ids.nextMany(1_000)
  }).toThrow(expect.objectContaining({ code: 'DTXID_EXHAUSTED', kind: 'retry' }))
  const taken = ids.take()
  await w.pass(4)
  expect(typeof (await taken)).toBe('bigint')
  expect(ids.status.sequenceOverflows).toBeGreaterThan(40)
})

test('a wall clock that runs ahead: an error, the fleet and etcd are asked at once, then a compensation step', async () => {
  const w = world()
  const ids = dtxIds63(w.settings, w.deps)
  await w.pass(1_200)
  const before = ids.next()
  w.setWall(3 * 3_600_000)
  expect(() => ids.next()).toThrow(expect.objectContaining({ code: 'DTXID_DRIFT', kind: 'retry' }))
  await w.pass(1)
  expect(ids.next()).toBeGreaterThan(before)
  expect(ids.status).toMatchObject({ compensationSteps: 1, doubts: 1, phase: 'held' })
})

test('`take` ends with its time, and behind `close` at once', async () => {
  const w = world()
  const ids = dtxIds63(w.settings, { ...w.deps, fleet: { now: () => Promise.reject(new Error('away')), close() {} } })
  const late = expect(ids.take(100)).rejects.toMatchObject({ code: 'DTXID_LEASE_LOST' })
  await w.pass(200)
  await late
  await ids.close()
  await expect(ids.take()).rejects.toMatchObject({ code: 'DTXID_LEASE_LOST' })
})

test.each<[string, Partial<DtxIdOptions>]>([
  ['datacenter', { datacenter: 32 }],
  ['workers', { workers: 1_025 }],
  ['ttlMs', { ttlMs: 2_500 }],
  ['marginMs', { marginMs: 0 }],
  ['markAheadMs', { markAheadMs: 0 }],
  ['retryMs', { retryMs: 0 }],
])('%s out of its range is refused', (setting, options) => {
  const w = world(options)
  expect(() => dtxIds63(w.settings, w.deps)).toThrow(
    expect.objectContaining({ code: 'DTXID_INVALID', facts: expect.objectContaining({ setting }) as object }),
  )
})

test.each([0, -1, 1.5, NEXT_MANY_MAX + 1])('%d ids at once are refused', async (count) => {
  const w = world()
  const ids = dtxIds63(w.settings, w.deps)
  await w.pass(0)
  expect(() => ids.nextMany(count)).toThrow(expect.objectContaining({ code: 'DTXID_INVALID', kind: 'invalid' }))
})
