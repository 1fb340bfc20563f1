import { epoch, subtask, taskManagerId } from '@weir/model'
import { expect, test } from 'vitest'
import { TASK_EPOCHS_MAX, TaskCheckpoints } from './task-checkpoints.ts'

const slices = [0, 1, 2, 3].map((n) => ({ subtask: subtask(n), taskManagerId: taskManagerId('tm') }))

test('of each slice it is known how long it took, why it did not, or that it said nothing', () => {
  const tasks = new TaskCheckpoints()
  tasks.triggered(epoch(7), slices)
  const failure = { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry', message: 'away', facts: {} } as const
  tasks.acked(epoch(7), subtask(0), { alignMs: 1, syncMs: 2, asyncMs: 30, cutMs: 9, prepareMs: 4, uploadMs: 21 })
  tasks.declined(epoch(7), subtask(1), failure)
  const inputs = [{ cause: 'barrier', stage: 'sum', from: 'in', fromSubtask: subtask(1) }] as const
  tasks.late(epoch(7), { subtask: subtask(2), inputs, more: 0 })
  // It answered before it heard that the epoch was given up.
  tasks.late(epoch(7), { subtask: subtask(0), inputs, more: 0 })
  expect(tasks.of(7)).toMatchObject([
    { status: 'acknowledged', alignMs: 1, syncMs: 2, asyncMs: 30, cutMs: 9, prepareMs: 4, uploadMs: 21, reason: null },
    { status: 'declined', asyncMs: null, reason: 'OBJECT_STORE_UNAVAILABLE: away' },
    { status: 'late', reason: 'subtask 2 waited for barriers from in[1] into sum' },
    { status: 'unanswered', taskManagerId: 'tm', alignMs: null, reason: null },
  ])
})

test('an older task-manager does not tell where its time went: that is not zero', () => {
  const tasks = new TaskCheckpoints()
  tasks.triggered(epoch(1), slices)
  tasks.acked(epoch(1), subtask(3), { alignMs: 1, syncMs: 2, asyncMs: 3 })
  expect(tasks.of(1)?.[3]).toMatchObject({ asyncMs: 3, cutMs: null, prepareMs: null, uploadMs: null })
})

test('older epochs are forgotten, and what comes late for them is left out', () => {
  const tasks = new TaskCheckpoints()
  for (let n = 1; n <= TASK_EPOCHS_MAX + 1; n++) tasks.triggered(epoch(n), slices)
  tasks.acked(epoch(1), subtask(0), { alignMs: 0, syncMs: 0, asyncMs: 0 })
  expect([tasks.of(1), tasks.of(2)?.length]).toEqual([null, 4])
})
