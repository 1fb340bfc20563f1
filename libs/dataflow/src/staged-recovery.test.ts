import { expect, test } from 'vitest'
import type { PreparedHandle, SinkState } from './ports.ts'
import { judgeStaged } from './staged-recovery.ts'

const of = { destination: 'table t', group: 'weir.j.out.0' }
const handle = (sequence: number): PreparedHandle => ({
  sequence,
  transactionalId: 'weir.j.out.0.0',
  producerId: '1',
  producerEpoch: 1,
  firstOffsets: {},
  records: 1,
})
const state = (sequence: number, ...handles: number[]): SinkState => ({ sequence, handles: handles.map(handle) })

test.each([
  ['nothing there, nothing known', null, null, [], [], 0],
  ['a job that goes on under another id: from its sequence', state(7), null, [], [], 7],
  ['all is applied', state(3), 3, [], [], null],
  ['the handles wait', state(3, 2, 3), 1, [], [2, 3], null],
  ['applied, and the news of it is not stored', state(3, 2, 3), 2, [2], [3], null],
  ['all of them applied', state(3, 2, 3), 3, [2, 3], [], null],
] as const)('%s', (_, restored, marker, proven, due, initialise) => {
  const verdict = judgeStaged(of, restored, marker)
  expect(verdict.proofs.map((p) => p.sequence)).toEqual(proven)
  expect(verdict.due.map((h) => h.sequence)).toEqual(due)
  expect(verdict.initialise).toBe(initialise)
})

test.each([
  ['EPOCH_REGRESSION', state(3, 3), 4],
  ['EPOCH_REGRESSION', null, 1],
  ['TRANSACTION_LOST', state(3, 3), 1],
  ['TRANSACTION_LOST', state(3), 2],
  ['TRANSACTION_UNKNOWN', state(3, 3), null],
  ['TRANSACTION_UNKNOWN', state(1, 1), null],
] as const)('%s: %j with marker %j stops the job', (code, restored, marker) => {
  expect(() => judgeStaged(of, restored, marker)).toThrow(expect.objectContaining({ code, kind: 'invalid' }) as Error)
})
