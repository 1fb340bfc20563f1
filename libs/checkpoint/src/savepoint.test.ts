import { epoch } from '@weir/model'
import { expect, test } from 'vitest'
import type { Manifest, SinkSnapshot, SubtaskSnapshot } from './manifest.ts'
import { outputBehind, savepointOf } from './savepoint.ts'

const sink = (...transactions: readonly string[]): Record<string, SinkSnapshot> => {
  const handles = transactions.map((name, i) => {
    const [producerId, producerEpoch] = name.split(':')
    return { sequence: i + 1, producerId, producerEpoch: Number(producerEpoch) }
  })
  return { out: { sequence: handles.length, handles } }
}
const manifest = (n: number, parent: number, ...sinks: readonly Record<string, SinkSnapshot>[]) =>
  ({
    ...{ epoch: epoch(n), parentEpoch: epoch(parent) },
    subtasks: sinks.map((one) => ({ sinks: one }) as unknown as SubtaskSnapshot),
  }) satisfies Pick<Manifest, 'epoch' | 'parentEpoch' | 'subtasks'>

test('transactions of the epochs since a savepoint was asked for are named, those of given-up ones with the next', () => {
  const asked = { after: epoch(3), upTo: epoch(3), transactions: [] }
  const first = outputBehind(asked, manifest(4, 3, sink('7:1', '8:1'), sink('9:4')))
  expect(first).toEqual({ after: 3, upTo: 4, transactions: ['7:1', '8:1', '9:4'] })
  expect(outputBehind(first, manifest(6, 4, sink('7:2')))).toEqual({
    ...{ after: 3, upTo: 6, transactions: ['7:1', '8:1', '9:4', '7:2'] },
  })
})

test('A23: it is of an epoch that is final, and names no transaction: two jobs that start from it have nothing to end twice', () => {
  const of = { name: 's', takenAt: 1, stopped: true, bundleDigest: 'b' as never, plan: null }
  const [one] = manifest(4, 3, sink('7:1', '8:1')).subtasks
  const epoch4 = {
    ...{ formatVersion: 1, jobId: 'j', generation: 1, attempt: 1, parentDigest: null, graphHash: 'g', parallelism: 1 },
    ...{ maxParallelism: 128, triggeredAt: 0, lastCommittedAt: null, epoch: epoch(4), parentEpoch: epoch(3) },
    subtasks: [{ ...one!, subtask: 0, segments: [], retired: { 1: sink('9:4') } }],
  } as unknown as Manifest
  expect(() => savepointOf(epoch4, epoch(3), of)).toThrow(
    expect.objectContaining({ code: 'SAVEPOINT_NOT_FINAL' }) as Error,
  )
  const { savepoint } = savepointOf(epoch4, epoch(4), of)
  // Sequences go on: markers only grow.
  expect(savepoint.subtasks).toMatchObject([
    { sinks: { out: { sequence: 2, handles: [] } }, retired: { 1: { out: { sequence: 1, handles: [] } } } },
  ])
})

test('behind a gap, or where nothing was known, it begins with the epoch before', () => {
  const asked = { after: epoch(3), upTo: epoch(3), transactions: ['1:1'] }
  for (const before of [asked, null])
    expect(outputBehind(before, manifest(9, 8, sink('7:1')))).toEqual({ after: 8, upTo: 9, transactions: ['7:1'] })
})

test('sinks of subtasks that are no more have theirs, staged ones have none', () => {
  const wide = manifest(2, 1, sink('7:1'))
  const [one] = wide.subtasks
  const staged = { files: { sequence: 1, handles: [{ sequence: 1 }] } }
  const narrow = {
    ...wide,
    subtasks: [
      { ...one!, retired: { 1: sink('8:3') } },
      { ...one!, sinks: staged },
    ],
  }
  expect(outputBehind(null, narrow as typeof wide).transactions).toEqual(['7:1', '8:3'])
})
