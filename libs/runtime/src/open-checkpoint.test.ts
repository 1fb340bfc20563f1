import { attempt, epoch, generation, operatorUid, subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { addPart, openCheckpoint, snapshotOf, type StagePart } from './open-checkpoint.ts'

const checkpoint = { generation: generation(1), attempt: attempt(2), epoch: epoch(3) }
const part = (position: StagePart['position']): StagePart => ({
  ...{ sinks: {}, segments: null, inFlight: [], watermarks: {}, watermarkFolds: {}, position },
  ...{ alignMs: 0, syncMs: 0, prepareMs: 0, uploadMs: 0 },
})

test('two sources of a slice are counted each to its own barrier, behind what earlier attempts had read', () => {
  const open = openCheckpoint(checkpoint, 3, 0, 100)
  expect(addPart(open, part({ uid: operatorUid('orders'), state: {}, read: 7 }))).toBe(false)
  expect(addPart(open, part(null))).toBe(false)
  expect(addPart(open, part({ uid: operatorUid('payments'), state: {}, read: 5 }))).toBe(true)
  expect(snapshotOf(open, { subtask: subtask(0) }).recordsIn).toBe(112)
})

test('of each time the longest of a stage is told', () => {
  const open = openCheckpoint(checkpoint, 2, 0, 0)
  addPart(open, { ...part(null), alignMs: 1, syncMs: 8, prepareMs: 30, uploadMs: 5 })
  addPart(open, { ...part(null), alignMs: 4, syncMs: 2, prepareMs: 0, uploadMs: 50 })
  expect(open).toMatchObject({ alignMs: 4, syncMs: 8, prepareMs: 30, uploadMs: 50 })
})
