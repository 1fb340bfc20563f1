import { attempt, epoch, operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { A, leader, stored, words } from './driver.fixture.ts'

test('rates are told in front of run and when they change, and the view has what slices tell of them', async () => {
  const limit = { recordsPerSecond: 100, minRecordsPerSecond: 10 }
  const l = leader([], { degraded: false }, { rates: { in: limit } })
  await l.run()
  expect(words(l.commands)).toEqual(['deploy', 'recover', 'rates', 'run'])
  expect(l.commands[2]).toMatchObject({ limits: { in: limit } })
  const faster = { recordsPerSecond: 900, minRecordsPerSecond: null }
  l.master.adjustRates({ in: faster })
  expect(l.commands.at(-1)).toMatchObject({ type: 'rates', slice: l.slice, limits: { in: faster } })
  const rates = [{ source: operatorUid('in'), limit: faster, current: 850, reason: null }]
  l.master.dispatch({ type: 'progress', slice: l.slice, recordsIn: 1, recordsOut: 1, watermark: 0, rates })
  expect(l.master.view()).toMatchObject({
    rates: [{ source: 'in', ...faster, current: 850, reason: null }],
    slices: [{ rates }],
  })
})

test('the degrade switch goes with triggers: an epoch is asked for when it is turned, and each one says how it stands', async () => {
  const triggers = (l: ReturnType<typeof leader>): (boolean | undefined)[] =>
    l.commands.flatMap((command) => (command.type === 'trigger' ? [command.degraded] : []))
  const l = leader()
  await l.run()
  l.master.degrade(true)
  l.master.degrade(true) // as it stands
  expect(triggers(l)).toEqual([true])
  l.master.degrade(false) // asked for, behind the one in flight
  l.ack(1)
  await l.settle(500)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  await l.settle(2_000)
  expect(triggers(l)).toEqual([true, undefined])

  const next = leader([], { degraded: false }, { degraded: true })
  await next.run()
  next.master.dispatch({ type: 'ask' })
  expect(triggers(next)).toEqual([true])
})

test('a job whose rates nobody has changed is told nothing of them', async () => {
  const l = leader()
  await l.run()
  expect(words(l.commands)).not.toContain('rates')
})

test('a late ack of an attempt that is over is no transaction of the one that runs', async () => {
  const l = leader()
  await l.run()
  l.ack(1)
  expect(l.master.ledger().facts.prepared).toMatchObject([{ sinks: { out: { sequence: 1 } } }])
  const failure = { code: 'BROKEN', kind: 'restart', message: 'broken', facts: {} } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(2_000)
  expect(l.master.view()).toMatchObject({ state: 'DEPLOYING', attempt: 2 })
  l.ack(2)
  expect(l.master.ledger().facts.prepared).toEqual([])
  l.ack(3, [], { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } })
  expect(l.master.ledger().facts.prepared).toHaveLength(1)
})

test('A1: every attempt restores what its own claim finds, whatever this leader remembers', async () => {
  const l = leader([], { degraded: false }, { published: [stored(1, ['one'])] })
  await l.run()
  l.publishedElsewhere(stored(4, ['four']))
  const failure = { code: 'X', kind: 'restart' as const, message: 'x', facts: {} }
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(10_000)
  const slice = { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } }
  l.master.dispatch({ type: 'deployed', slice, exchangeAddress: 'x:1' })
  const recovers = l.commands.filter((command) => command.type === 'recover')
  expect(recovers.map(({ snapshot }) => snapshot?.segments)).toMatchObject([
    [{ chain: [{ key: 'one' }] }],
    [{ chain: [{ key: 'four' }] }],
  ])
})

test('A8: a deploy comes right behind a won claim, also after a long wait for slots', async () => {
  const l = leader()
  l.master.start()
  await l.settle(10_000)
  const claims = l.claims()
  l.slots.join(A, 1)
  await l.settle(50)
  expect(l.claims()).toBe(claims + 1)
  expect(words(l.commands)).toEqual(['deploy'])
})

test('at the end of the lease nothing more is sent and the slots are free', async () => {
  const l = leader()
  await l.run()
  const before = l.commands.length
  l.abort.abort(new Error('lease is over'))
  await l.settle(20_000)
  expect(l.commands).toHaveLength(before)
  expect(l.slots.free()).toBe(1)
})

test('a job without slots says what it waits for', async () => {
  const l = leader()
  l.master.start()
  await l.settle(500)
  expect(l.master.view()).toMatchObject({
    state: 'CREATED',
    error: { code: 'WAITING_FOR_SLOTS', facts: { needed: 1, free: 0 } },
  })
})

test('the end of a job is recorded once', async () => {
  const l = leader()
  await l.run()
  l.master.dispatch({ type: 'cancel' })
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop', mode: 'abort' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended).toMatchObject({ state: 'CANCELLED', error: null })
})

test('a task-manager that cannot be reached is a lost one', async () => {
  const l = leader()
  await l.run()
  l.disconnect()
  await l.settle(1_050)
  expect(l.master.view().state).toBe('RESTARTING')
})

test('a restart that is asked for is one behind a failure of that slice: from the last epoch, counted, with its reason', async () => {
  const l = leader()
  await l.run()
  expect(() => l.master.restartSlices(7, 'alert Stuck')).toThrow(
    expect.objectContaining({ code: 'SUBTASK_UNKNOWN' }) as Error,
  )
  l.master.restartSlices(null, 'alert Stuck')
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop', mode: 'leave' })
  expect(l.master.view()).toMatchObject({
    state: 'RESTARTING',
    error: { code: 'RESTART_ASKED', message: 'a restart was asked for: alert Stuck' },
  })
  expect(() => l.master.restartSlices(null, 'alert Stuck')).toThrow(
    expect.objectContaining({ code: 'JOB_NOT_RUNNING', kind: 'retry' }) as Error,
  )
})
