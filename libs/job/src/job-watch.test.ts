import { attempt, epoch, subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { leader } from './driver.fixture.ts'

test('a gap that a source went over is in the view and an alert, once, however often attempts tell it', async () => {
  const l = leader()
  await l.run()
  const gap = (partition: number, offset: string) => ({
    ...{ topic: 't', partition, offset, logStart: '100', logEnd: '200', policy: 'latest' as const },
    ...{ resumedAt: '200', gapRecords: 60, skippedRecords: 160, epoch: 7 },
  })
  const tell = (partition: number, offset: string, slice = l.slice): void =>
    l.master.dispatch({ type: 'source-gap', slice, source: 'in', gap: gap(partition, offset) })
  tell(2, '40')
  tell(0, '40')
  tell(2, '40')
  tell(1, '40', { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(9) } })
  expect(l.master.view().sourceGaps).toEqual([0, 2].map((p) => ({ source: 'in', ...gap(p, '40') })))
  expect(l.master.view().alerts).toMatchObject([
    {
      code: 'SOURCE_GAP',
      message:
        'source "in": t-0 holds 100 to 200, the job was at 40, 60 records apart: policy "latest" goes on at 200, 160 records are skipped',
    },
  ])
})

test('of an epoch that timed out the history and the alert say what each slice had waited for', async () => {
  const l = leader()
  await l.run()
  await l.settle(1_050 + 120_000)
  expect(l.commands.at(-1)).toMatchObject({ type: 'give-up', timedOut: true })
  const checkpoint = { ...l.slice.attempt, epoch: epoch(1) }
  const inputs = [{ cause: 'barrier', stage: 'by-key', from: 'in', fromSubtask: subtask(1) }] as const
  const tell = (of = l.slice) =>
    l.master.dispatch({ type: 'gave-up', slice: of, checkpoint, late: { inputs, more: 2 } })
  tell()
  tell({ ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(9) } })
  expect(l.master.checkpoints().find((c) => c.epoch === 1)).toMatchObject({
    status: 'given-up',
    durationMs: 120_000,
    reason: 'timeout: no ack within 120000 ms from subtasks 0',
    late: [{ subtask: 0, inputs, more: 2 }],
  })
  expect(l.master.checkpointTasks(1)).toMatchObject([
    { subtask: 0, status: 'late', reason: 'subtask 0 waited for barriers from in[1] into by-key, and 2 more' },
  ])
  const message =
    'epoch 1: timeout: no ack within 120000 ms from subtasks 0; subtask 0 waited for barriers from in[1] into by-key, and 2 more'
  expect(l.master.view().alerts).toMatchObject([{ code: 'CHECKPOINTS_GIVEN_UP', message }])
  for (let n = 0; n < 40; n++) tell()
  expect(l.master.checkpoints().find((c) => c.epoch === 1)!.late).toHaveLength(16)
})

test('checkpoints that keep failing: the job is degraded, and its circuit says how and until when', async () => {
  const l = leader()
  await l.run()
  expect(l.master.view()).toMatchObject({ degraded: false, circuit: { state: 'closed', failures: 0, until: null } })
  const failure = { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry', message: 'away', facts: {} } as const
  for (let n = 1; n <= 4; n++) {
    await l.settle(1_050)
    l.master.dispatch({
      type: 'declined',
      slice: l.slice,
      checkpoint: { ...l.slice.attempt, epoch: epoch(n) },
      failure,
    })
  }
  expect(l.master.view()).toMatchObject({ degraded: true, circuit: { state: 'open', failures: 4, until: null } })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(1_500)
  const slice = { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } }
  l.master.dispatch({ type: 'deployed', slice, exchangeAddress: 'x:1' })
  l.master.dispatch({ type: 'recovered', slice, proofs: [] })
  expect(l.master.view()).toMatchObject({ state: 'RUNNING', circuit: { state: 'open', until: l.now() + 2_000 } })
  expect(l.master.view().alerts).toMatchObject([
    { code: 'CHECKPOINTS_GIVEN_UP' },
    {
      code: 'CHECKPOINTS_FAILING',
      message: '4 checkpoints in a row were given up; the next one comes 2000 ms after the job runs again',
    },
  ])
  await l.settle(2_050)
  expect(l.master.view().circuit).toEqual({ state: 'half-open', failures: 4, until: null })
  l.ack(5, [], slice)
  await l.settle(100)
  expect(l.master.view()).toMatchObject({ degraded: false, circuit: { state: 'closed', failures: 0 }, alerts: [] })
})
