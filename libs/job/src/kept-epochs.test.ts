import { expect, test } from 'vitest'
import { leader, stored, whole, words } from './driver.fixture.ts'

test('A22: an orphan is listed by a published manifest, and deleted an epoch and two leases later', async () => {
  const l = leader()
  await l.run()
  for (let n = 1; n <= 9; n++) await whole(l, n, ['base'])
  expect(l.deleted).toEqual([])
  for (let n = 10; n <= 14; n++) await whole(l, n, ['base'])
  expect(l.deleted).toContain('jobs/j/epochs/1-g2-a9/state-0-1.seg')
  expect(l.deleted).not.toContain('base')
})

test('damaged state ends the job; the newest kept epoch that is whole is offered, not taken', async () => {
  const l = leader()
  await l.run()
  await whole(l, 1, ['a'])
  await whole(l, 2, ['a', 'b'])
  await whole(l, 3, ['a', 'b', 'c'])
  l.damaged.set('b', 'missing').set('c', 'corrupt')
  const facts = { objectKey: 'c' }
  const failure = { code: 'SEGMENT_CORRUPT', kind: 'invalid', message: 'segment c is damaged.', facts } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended).toMatchObject({
    state: 'FAILED',
    error: { code: 'SEGMENT_CORRUPT', facts: { objectKey: 'c', epoch: 3, offered: { epoch: 1, digest: 'd1' } } },
  })
  expect(l.master.view().error?.message).toMatch(/^epoch 3 cannot be restored: segment c .* Epoch 1 .* is whole/)
  expect(words(l.commands).filter((w) => w === 'recover')).toHaveLength(1)
})

test('of a job that asks for fewer epochs than its job-manager keeps, so many are kept', async () => {
  const l = leader([], { degraded: false }, { retainedMin: 5 })
  await l.run()
  for (let n = 1; n <= 7; n++) await whole(l, n, ['a'])
  expect(l.published()?.retention?.epochs.map((of) => of.epoch)).toEqual([6, 5, 4, 3])
})

test('of a damaged newest manifest the one before is found, offered, and kept to be started from', async () => {
  const l = leader([], { degraded: false }, { published: [stored(1), stored(2), stored(3)] })
  l.damaged.set('m3', 'corrupt')
  l.master.start()
  await l.settle(1_000)
  await l.master.ended
  const { ended } = l.record()
  expect(ended).toMatchObject({
    state: 'FAILED',
    error: { code: 'MANIFEST_CORRUPT', facts: { offered: { epoch: 2 } } },
  })
  expect(ended!.kept!.map((of) => of.epoch)).toEqual([3, 2])
  expect(l.master.view().error!.message).toContain('--from 2')
})

test('kept of a job that has ended is its newest epoch; of one that has failed everything it could go back to', async () => {
  const l = leader()
  await l.run()
  for (const n of [1, 2]) await whole(l, n, ['a'])
  l.master.dispatch({ type: 'cancel' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended!.kept!.map((of) => of.epoch)).toEqual([2])
})
