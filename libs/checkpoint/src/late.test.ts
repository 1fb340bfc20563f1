import { epoch, subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { LATE_INPUTS_MAX, boundedLate, givenUpText, lateText, type LateInput } from './late.ts'

const barrier = (fromSubtask: number, stage = 'by-key'): LateInput => ({
  ...{ cause: 'barrier', stage, from: 'orders', fromSubtask: subtask(fromSubtask) },
})

test('the text names the epoch, the time, the slice and the channels', () => {
  const late = { subtask: subtask(3), inputs: [barrier(1), barrier(2)], more: 0 }
  expect(givenUpText(epoch(7), 120_000.4, late)).toBe(
    'epoch 7 was given up after 120000 ms: subtask 3 waited for barriers from orders[1], orders[2] into by-key',
  )
})

test('sources that had not reached the cut and snapshots that were not stored are named too', () => {
  const inputs: LateInput[] = [{ cause: 'cut', stage: 'orders' }, { cause: 'snapshot' }]
  expect(lateText({ subtask: subtask(0), inputs, more: 0 })).toBe(
    'subtask 0 had not reached the cut in source orders, had not stored its snapshot',
  )
})

test('what a thousand channels are late with is told in sixteen, and read in four', () => {
  const { inputs, more } = boundedLate(Array.from({ length: 1_000 }, (_, i) => barrier(i)))
  expect([inputs.length, more]).toEqual([LATE_INPUTS_MAX, 984])
  expect(lateText({ subtask: subtask(0), inputs, more })).toBe(
    'subtask 0 waited for barriers from orders[0], orders[1], orders[2], orders[3] and 12 more into by-key, and 984 more',
  )
})
