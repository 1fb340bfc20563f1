import type { PublishOutcome } from '@weir/checkpoint'
import { attempt, epoch, WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import { A, leader, stored, words } from './driver.fixture.ts'
import type { Beginning } from './ports.ts'

test('a job that is started from somewhere publishes its first epoch, with names no earlier run has used, and goes on', async () => {
  const made: { epoch: number; attempt: number; published: number | undefined }[] = []
  const beginning: Beginning = {
    after: epoch(4),
    make: async (checkpoint, published) => {
      made.push({ ...checkpoint, published: published?.ref.epoch })
      if (made.length === 1) throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'away')
      return { ...stored(checkpoint.epoch, ['copied']), ...checkpoint }
    },
  }
  const unknown: PublishOutcome = { kind: 'unknown', reason: 'timed out' }
  const used = { attempt: attempt(2), epoch: epoch(6) }
  const l = leader([unknown, 'ok'], { degraded: false }, { published: [stored(3), stored(4)], beginning, used })
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(2_000)
  const first = { epoch: 7, attempt: 3, published: 4 }
  expect(made).toMatchObject([first, first])
  expect(l.sent.map(({ digest: of, parentEpoch }) => [of, parentEpoch])).toEqual([
    ['d7', 4],
    ['d7', 4],
  ])
  expect(l.published()?.retention?.epochs.map((of) => of.epoch)).toEqual([4])
  expect(l.commands).toMatchObject([{ type: 'deploy', slice: { attempt: { attempt: 4 } } }])
  expect(l.master.view()).toMatchObject({ publishedEpoch: 7, attempt: 4 })
})

test('what is published behind it is the job’s own: after a takeover it is not begun again', async () => {
  const beginning: Beginning = { after: epoch(3), make: () => expect.unreachable() }
  const l = leader([], { degraded: false }, { published: [stored(3), stored(4)], beginning })
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(1_000)
  expect(words(l.commands)).toEqual(['deploy'])
})

test('a start that cannot be made ends the job, and its numbers stay used', async () => {
  const refused = new WeirError({ code: 'SEGMENT_CORRUPT', kind: 'invalid' }, 'damaged.')
  const beginning: Beginning = { after: epoch(0), make: () => Promise.reject(refused) }
  const l = leader([], { degraded: false }, { beginning: { ...beginning, after: epoch(4) }, published: [stored(4)] })
  l.master.start()
  await l.settle(1_000)
  await l.master.ended
  const kept = [{ epoch: 4 }] // of the run before
  expect(l.record().ended).toMatchObject({ state: 'FAILED', error: { code: 'SEGMENT_CORRUPT' }, kept })
  expect(l.master.used()).toEqual({ attempt: 1, epoch: 0 })
})
