import { epoch } from '@weir/model'
import { expect, test } from 'vitest'
import { leader, whole } from './driver.fixture.ts'

test('A23: a savepoint is of the first final epoch triggered after the wish, and holds no handles', async () => {
  const l = leader()
  await l.run()
  await l.settle(1_050) // epoch 1 is on its way
  expect(l.master.savepoint('before-upgrade')).toMatchObject({ state: 'IN_PROGRESS', epoch: null })
  l.ack(1, ['a'])
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.drafts).toEqual([])
  await l.settle(50) // without the interval
  l.ack(2, ['a', 'b'])
  await l.settle(100)
  expect(l.master.view()).toMatchObject({ publishedEpoch: 2, finalEpoch: 1 })
  expect(l.drafts).toEqual([]) // published, and not final yet
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(2) })
  const [draft] = l.drafts
  expect(draft!.savepoint).toMatchObject({
    ...{ name: 'before-upgrade', epoch: 2, stopped: false },
    subtasks: [{ sinks: { out: { sequence: 2, handles: [] } } }],
  })
  expect(draft!.copies.map(({ from, to }) => [from.key, to])).toEqual([
    ['a', 'state-000001.seg'],
    ['b', 'state-000002.seg'],
  ])
  expect(draft!.savepoint.subtasks[0]!.segments).toMatchObject([
    { chain: [{ key: 'state-000001.seg' }, { key: 'state-000002.seg' }] },
  ])
  expect(() => l.master.savepoint('No')).toThrow('cannot name a savepoint')
})

test('an epoch that is being copied into a savepoint is kept, however many follow', async () => {
  const l = leader()
  await l.run()
  const copied = l.holdCopies()
  l.master.savepoint('s')
  await l.settle(50)
  l.ack(1, ['a'])
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  const kept = (): number[] | undefined => l.published()?.retention?.epochs.map((of) => of.epoch)
  for (let n = 2; n <= 6; n++) await whole(l, n, ['b'])
  expect(kept()).toEqual([5, 4, 1])
  expect(l.master.savepoints()).toMatchObject([{ name: 's', state: 'IN_PROGRESS', epoch: 1 }])
  copied()
  await whole(l, 7, ['b'])
  expect(kept()).toEqual([6, 5])
  expect(l.master.savepoints()).toEqual([])
})

test('a savepoint that the job did not live to take has failed, and says so', async () => {
  const l = leader()
  await l.run()
  l.master.savepoint('s')
  l.master.dispatch({ type: 'cancel' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.master.savepoints()).toMatchObject([{ state: 'FAILED', error: { code: 'SAVEPOINT_NOT_TAKEN' } }])
  expect(() => l.master.savepoint('t')).toThrow('about to end')
})

test('B6: STOPPED is recorded when the last epoch is final and its savepoint complete', async () => {
  const l = leader()
  await l.run()
  const copied = l.holdCopies()
  l.master.dispatch({ type: 'stop', savepoint: 'last' })
  expect(l.master.view().state).toBe('STOPPING')
  await l.settle(50)
  expect(l.commands.at(-1)).toMatchObject({ type: 'trigger', last: true })
  l.ack(1, ['a'])
  await l.settle(100)
  expect(l.commands.at(-1)).toMatchObject({ type: 'commit' })
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(100)
  expect(l.master.view().state).toBe('STOPPING')
  expect(l.record().ended).toBeNull()
  copied()
  await l.master.ended
  expect(l.record().ended).toMatchObject({ state: 'STOPPED', error: null })
  expect(l.master.view().state).toBe('STOPPED')
  expect(l.drafts[0]!.savepoint).toMatchObject({ name: 'last', epoch: 1, stopped: true })
})
