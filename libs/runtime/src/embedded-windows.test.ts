/** Sliding and session windows with late records, killed between and behind checkpoints: every result and late record once. */
import { planJob, type Plan, type WindowResult } from '@weir/dataflow'
import { job, json, log as logs, session, sliding } from '@weir/sdk'
import { afterEach, expect, test } from 'vitest'
import { Fleet, World, closeAll, type Line } from './embedded.fixture.ts'

afterEach(closeAll)

interface Visit {
  readonly id: number
  readonly user: string
}
const visits = (unaligned: boolean): Plan =>
  planJob(
    job('visits', { parallelism: 2, checkpoint: { unaligned } }, (flow) => {
      const source = logs.topic('in', { value: json<Visit>(), until: 'latest', outOfOrder: '30ms' })
      const byUser = flow.from(source, 'visits').keyBy((visit) => visit.user, 'by-user')
      const recent = byUser.window(sliding('200ms', '50ms')).sum('recent', ({ id }) => id)
      recent.to(logs.sink('recent'))
      recent.sideOutput('late').to(logs.sink('late-recent'))
      const sessions = byUser.window(session('60ms')).aggregate('sessions', {
        initial: [] as readonly number[],
        add: (ids, { id }) => [...ids, id],
        merge: (a, b) => [...a, ...b],
        result: (ids) => ids.toSorted((a, b) => a - b),
      })
      sessions.to(logs.sink('sessions'))
      sessions.sideOutput('late').to(logs.sink('late-sessions'))
    }),
  )
const TOPICS = ['recent', 'late-recent', 'sessions', 'late-sessions']

/** Ids grow, event time goes on by 7 ms and pauses; one in six comes too soon or too late, some of them far too late. */
const timeOf = (i: number): number => {
  const at = 1_000 + i * 7 + Math.floor(i / 15) * 90
  return i % 6 === 5 ? Math.max(0, at - [20, 60, 300][i % 3]!) : at
}
const all = [0, 1].map((split) =>
  Array.from({ length: 90 }, (_, i) => ({ id: i * 2 + split, user: `u${(i + split) % 3}`, timestamp: timeOf(i) })),
)
const input: Line[][] = all.map((rows) =>
  rows.map(({ timestamp, ...visit }) => ({ line: JSON.stringify(visit), timestamp })),
)

interface Output {
  readonly recent: readonly (readonly [user: string, WindowResult<number>])[]
  readonly sessions: readonly (readonly [user: string, WindowResult<readonly number[]>])[]
  readonly lateRecent: readonly number[]
  readonly lateSessions: readonly number[]
}
async function outputOf(world: World): Promise<Output> {
  const read = async <T>(topic: string): Promise<(readonly [string, T])[]> =>
    (await world.read(topic)).map(
      ({ key, value }) => [Buffer.from(key!).toString(), JSON.parse(Buffer.from(value!).toString()) as T] as const,
    )
  const ids = async (topic: string): Promise<number[]> =>
    (await read<Visit>(topic)).map(([, { id }]) => id).sort((a, b) => a - b)
  return {
    recent: await read('recent'),
    sessions: await read('sessions'),
    ...{ lateRecent: await ids('late-recent'), lateSessions: await ids('late-sessions') },
  }
}

/** Which records are late depends on how the two splits were read; given that, everything else is a recount. */
function check({ recent, sessions, lateRecent, lateSessions }: Output): void {
  const rows = all.flat()
  const without = (late: readonly number[]) => rows.filter(({ id }) => !late.includes(id))
  expect([new Set(lateRecent).size, new Set(lateSessions).size]).toEqual([lateRecent.length, lateSessions.length])

  const inSessions = sessions.flatMap(([user, { start, end, value }]) => {
    const times = value.map((id) => rows.find((row) => row.id === id)!).sort((a, b) => a.timestamp - b.timestamp)
    expect(times.every((row) => row.user === user)).toBe(true)
    expect([times[0]!.timestamp, times.at(-1)!.timestamp + 60]).toEqual([start, end])
    for (const [i, { timestamp }] of times.slice(1).entries()) expect(timestamp - times[i]!.timestamp).toBeLessThan(60)
    return value
  })
  const kept = without(lateSessions).map(({ id }) => id)
  expect(inSessions.sort((a, b) => a - b)).toEqual(kept.sort((a, b) => a - b))

  const found = new Map(recent.map(([user, { end, value }]) => [`${user} ${end}`, value]))
  expect(found.size).toBe(recent.length) // none fires twice
  const windows = new Map<string, { sum: number; inTime: number }>()
  for (const { id, user, timestamp } of without(lateRecent)) {
    const first = Math.floor(timestamp / 50) * 50 + 50
    for (let end = first; end < first + 200; end += 50) {
      const { sum, inTime } = windows.get(`${user} ${end}`) ?? { sum: 0, inTime: 0 }
      // A record out of order may be late for its first windows, and is in the others.
      const isInTime = Math.floor(id / 2) % 6 !== 5
      windows.set(`${user} ${end}`, { sum: sum + id, inTime: inTime + (isInTime ? id : 0) })
    }
  }
  for (const [window, { sum, inTime }] of windows) {
    const value = found.get(window) ?? 0
    expect([value >= inTime, value <= sum], window).toEqual([true, true])
  }
  expect([...found.keys()].filter((window) => !windows.has(window))).toEqual([])
}

test('every result once, in a run without a failure', async () => {
  const world = await World.open(TOPICS, input)
  const fleet = new Fleet(world, 1, visits(false))
  await fleet.start(null)
  await fleet.both('input-ended')
  await fleet.commit(1, await fleet.checkpoint(1))
  const output = await outputOf(world)
  check(output)
  expect(output.lateSessions.length).toBeGreaterThan(0)
  expect(output.lateRecent.length).toBeGreaterThan(0)
})

test.each([7, 40, 71].flatMap((cut) => [false, true].map((unaligned) => ({ cut, unaligned }))))(
  'killed behind the checkpoint at $cut records per split: every result and late record once (unaligned: $unaligned)',
  async ({ cut, unaligned }) => {
    const world = await World.open(TOPICS, input)
    const first = new Fleet(world, 1, visits(unaligned))
    first.limit = cut
    await first.start(null)
    const snapshots = await first.checkpoint(1)
    await first.commit(1, snapshots)
    first.limit = cut + 15 // results behind the barrier, never published
    const second = new Fleet(world, 2, visits(unaligned))
    const inFlight = snapshots.flatMap((snapshot) => snapshot.inFlight ?? [])
    await second.start(snapshots.map((snapshot) => ({ ...snapshot, inFlight })))
    await second.both('input-ended')
    await second.commit(2, await second.checkpoint(2))
    check(await outputOf(world))
  },
)
