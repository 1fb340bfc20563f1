import { defaultSettings, type ListedTransaction, type PreparedHandle } from '@weir/dataflow'
import { epoch, jobId, subtask } from '@weir/model'
import { expect, test } from 'vitest'
import {
  ledgerOf,
  outcomeOf,
  poolsOf,
  preparingSinks,
  toAbort,
  toCommit,
  unsettled,
  verdictOf,
  withOutcome,
  type LedgerFacts,
  type SinkOutcome,
} from './ledger.ts'

const handle = (sequence: number, slot: number, producerEpoch: number, subtask = 0): PreparedHandle => ({
  sequence,
  transactionalId: `weir.pay.sums.${subtask}.${slot}`,
  producerId: '77',
  producerEpoch,
  firstOffsets: { 'sums-3': '120' },
  records: 10 * sequence,
})
const listed = (slot: number, producerEpoch: number, more: Partial<ListedTransaction> = {}): ListedTransaction => ({
  transactionalId: `weir.pay.sums.0.${slot}`,
  producerId: '77',
  producerEpoch,
  state: 'open',
  startedAt: 1_000,
  timeoutMs: 60_000,
  partitions: ['sums-3'],
  ...more,
})
const slice = (of: number, handles: readonly PreparedHandle[]) => ({
  subtask: subtask(of),
  sinks: { sums: { sequence: handles.at(-1)?.sequence ?? 0, handles } },
})
const facts = (more: Partial<LedgerFacts> = {}): LedgerFacts => ({
  jobId: jobId('pay'),
  owners: ['sums'],
  subtasks: 2,
  poolSize: 4,
  published: { epoch: epoch(5), subtasks: [slice(0, [handle(7, 0, 3), handle(8, 1, 6)])] },
  final: 4,
  prepared: [],
  outcomes: [],
  ...more,
})
/** `sequence-or-id state [at server]` */
const states = (f: LedgerFacts, l: readonly ListedTransaction[]): string[] =>
  ledgerOf(f, l).map((e) => [e.sequence ?? e.transactionalId, e.state, e.atServer].filter((x) => x !== null).join(' '))

test('what the published epoch names is published while the server has it open', () => {
  expect(states(facts(), [listed(0, 3), listed(1, 6)])).toEqual(['7 published open', '8 published open'])
  const [first] = ledgerOf(facts(), [listed(0, 3)])
  expect(first).toEqual({
    jobId: 'pay',
    transactionalId: 'weir.pay.sums.0.0',
    producerId: '77',
    producerEpoch: 3,
    sink: 'sums',
    subtask: 0,
    sequence: 7,
    epoch: 5,
    state: 'published',
    records: 70,
    atServer: 'open',
    startedAt: 1_000,
    timeoutMs: 60_000,
    partitions: ['sums-3'],
  })
})

test('ended at the server proves nothing: committed only when the epoch is final or recovery has proven it', () => {
  expect(states(facts(), [listed(1, 6)])).toEqual(['7 published', '8 published open'])
  expect(states(facts({ final: 5 }), [])).toEqual(['7 committed', '8 committed'])
  expect(states(facts({ outcomes: [outcomeOf('sums', 0, 5, [])] }), [])).toEqual(['7 committed', '8 committed'])
  expect(states(facts({ outcomes: [outcomeOf('sums', 1, 5, [])] }), [])).toEqual(['7 published', '8 published'])
  // Recovered before epoch 5 was published.
  expect(states(facts({ outcomes: [outcomeOf('sums', 0, 4, [])] }), [])).toEqual(['7 published', '8 published'])
})

test('C5: of an epoch with one lost transaction the ledger lists what is visible', () => {
  const lost: SinkOutcome = { sink: 'sums', subtask: 0, epoch: 5, state: 'LOST', facts: { sequence: 8 } }
  const published = {
    epoch: epoch(5),
    subtasks: [slice(0, [handle(7, 0, 3), handle(8, 1, 6), handle(9, 2, 2)]), slice(1, [handle(4, 0, 1, 1)])],
  }
  const outcomes = [lost, outcomeOf('sums', 1, 5, [])]
  expect(states(facts({ published, outcomes }), [])).toEqual(['7 committed', '8 lost', '9 published', '4 committed'])
})

test('the epoch is bumped when the end begins: it is still the same transaction', () => {
  expect(states(facts(), [listed(0, 4, { state: 'committing' }), listed(1, 6)])).toEqual([
    '7 published committing',
    '8 published open',
  ])
  // Another one that has begun on the id meanwhile is not.
  expect(states(facts({ final: 5 }), [listed(0, 4)])).toEqual([
    '7 committed',
    'weir.pay.sums.0.0 open open',
    '8 committed',
  ])
})

test('prepared: named by an ack, and by no published epoch', () => {
  const prepared = [slice(0, [handle(8, 1, 6), handle(9, 2, 2)])]
  expect(states(facts({ final: 5, prepared }), [listed(2, 2)])).toEqual([
    '7 committed',
    '8 committed',
    '9 prepared open',
  ])
  expect(states(facts({ final: 5, prepared }), [])).toEqual(['7 committed', '8 committed'])
})

test('open: an id of the pools; foreign: under the prefix, and not one of them', () => {
  const names = ['weir.pay.sums.1.3', 'weir.pay.sums.2.0', 'weir.pay.sums.0.4', 'weir.pay.other.0.0', 'weir.pay.x']
  const all = names.map((transactionalId) => listed(0, 9, { transactionalId }))
  expect(states(facts({ published: null }), all)).toEqual([
    'weir.pay.other.0.0 foreign open',
    'weir.pay.sums.0.4 foreign open',
    'weir.pay.sums.1.3 open open',
    'weir.pay.sums.2.0 foreign open',
    'weir.pay.x foreign open',
  ])
})

test('B4: ids of subtasks that a rescale removed stay the job’s', () => {
  const removed = listed(0, 9, { transactionalId: 'weir.pay.sums.3.0' })
  expect(states(facts({ published: null, subtasks: 4 }), [removed])).toEqual(['weir.pay.sums.3.0 open open'])
})

const code = (call: () => unknown): string => {
  try {
    return JSON.stringify(call())
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('commit: only what is published, those before it first, and nothing behind a lost one', () => {
  const open = ledgerOf(facts(), [listed(0, 3), listed(1, 6)])
  expect(toCommit(open, 'weir.pay.sums.0.0').map((e) => e.sequence)).toEqual([7])
  expect(toCommit(open, 'weir.pay.sums.0.1').map((e) => e.sequence)).toEqual([7, 8])
  expect(toCommit(ledgerOf(facts({ final: 5 }), []), 'weir.pay.sums.0.1')).toEqual([])
  // The one before it has ended, and nobody knows how.
  const unproven = ledgerOf(facts(), [listed(1, 6)])
  expect(code(() => toCommit(unproven, 'weir.pay.sums.0.1'))).toBe('TRANSACTION_NOT_OPEN')
  const outcomes = [{ sink: 'sums', subtask: 0, epoch: 5, state: 'LOST' as const, facts: { sequence: 7 } }]
  const lost = ledgerOf(facts({ outcomes }), [listed(1, 6)])
  expect(code(() => toCommit(lost, 'weir.pay.sums.0.0'))).toBe('TRANSACTION_LOST')
  expect(code(() => toCommit(lost, 'weir.pay.sums.0.1'))).toBe('TRANSACTION_LOST')
})

test('commit of what no published epoch names is refused', () => {
  const prepared = [slice(0, [handle(9, 2, 2)])]
  const ledger = ledgerOf(facts({ prepared }), [
    listed(2, 2),
    listed(3, 1),
    listed(0, 0, { transactionalId: 'weir.pay.x.0.0' }),
  ])
  expect(code(() => toCommit(ledger, 'weir.pay.sums.0.2'))).toBe('TRANSACTION_NOT_PUBLISHED')
  expect(code(() => toCommit(ledger, 'weir.pay.sums.0.3'))).toBe('TRANSACTION_NOT_PUBLISHED')
  expect(code(() => toCommit(ledger, 'weir.pay.x.0.0'))).toBe('TRANSACTION_FOREIGN')
  expect(code(() => toCommit(ledger, 'weir.pay.sums.1.1'))).toBe('TRANSACTION_NOT_FOUND')
})

test.each([
  ['weir.pay.sums.0.0', 'ended', 'TRANSACTION_PUBLISHED'], // B5: published output is never aborted
  ['weir.pay.sums.0.0', 'waiting', 'TRANSACTION_PUBLISHED'],
  ['weir.pay.sums.0.2', 'running', 'TRANSACTION_IN_USE'],
  ['weir.pay.sums.0.2', 'waiting', '{"id":"weir.pay.sums.0.2","epoch":2}'],
  ['weir.pay.sums.0.3', 'running', 'TRANSACTION_IN_USE'],
  ['weir.pay.sums.0.3', 'ended', '{"id":"weir.pay.sums.0.3","epoch":1}'],
  ['weir.pay.x.0.0', 'ended', 'TRANSACTION_FOREIGN'],
  ['weir.pay.sums.1.1', 'ended', 'TRANSACTION_NOT_FOUND'],
] as const)('abort %s of a job that is %s: %s', (id, standing, expected) => {
  const prepared = [slice(0, [handle(9, 2, 2)])]
  const foreign = listed(0, 0, { transactionalId: 'weir.pay.x.0.0' })
  const ledger = ledgerOf(facts({ prepared }), [listed(0, 3), listed(2, 2), listed(3, 1), foreign])
  const answer = (): object => {
    const { transactionalId, producerEpoch } = toAbort(ledger, id, standing)
    return { id: transactionalId, epoch: producerEpoch }
  }
  expect(code(answer)).toBe(expected)
})

test('a failed recovery names its sink subtask: from the transactional id, or from the marker’s group', () => {
  const of = (code: string, facts: object) => verdictOf({ code, kind: 'invalid', message: 'm', facts: { ...facts } }, 5)
  expect(of('TRANSACTION_LOST', { transactionalId: 'weir.pay.a.b.3.1', sequence: 4 })).toMatchObject({
    sink: 'a.b',
    subtask: 3,
    epoch: 5,
    state: 'LOST',
    facts: { sequence: 4, message: 'm' },
  })
  expect(of('EPOCH_REGRESSION', { group: 'weir.pay.sums.1', marker: 9 })).toMatchObject({
    sink: 'sums',
    subtask: 1,
    state: 'EPOCH_REGRESSION',
  })
  expect(of('TRANSACTION_UNKNOWN', { transactionalId: 'weir.pay.sums.0.0' })?.state).toBe('UNKNOWN')
  expect(of('KAFKA_UNAVAILABLE', {})).toBe(null)
})

test('one outcome per sink subtask', () => {
  const before = [outcomeOf('sums', 0, 5, []), outcomeOf('sums', 1, 5, [])]
  const after = withOutcome(before, outcomeOf('sums', 0, 5, [{ sequence: 3, by: 'heal' }]))
  expect(after.map((o) => `${o.subtask} ${o.state}`)).toEqual(['0 HEALED', '1 CLEAN'])
})

test('a verdict about an epoch before is none', () => {
  const known = [outcomeOf('sums', 0, 4, []), outcomeOf('sums', 1, 5, [])]
  expect(unsettled(['sums', 'log'], 2, 5, known).map((o) => `${o.sink} ${o.subtask} ${o.state}`)).toEqual([
    'sums 0 UNSETTLED',
    'sums 1 CLEAN',
    'log 0 UNSETTLED',
    'log 1 UNSETTLED',
  ])
})

test('the sinks of a continuous job share transactions named by their source, and none waits for a publish', () => {
  const plan = {
    version: 1 as const,
    name: 'j',
    settings: { ...defaultSettings, commit: { scope: 'continuous' as const, intervalMs: 100 } },
    ...{ nodes: [], edges: [], stages: 1, sources: ['orders'], sinks: ['a', 'b'] },
  }
  expect(poolsOf(plan)).toEqual({ owners: ['orders'], poolSize: 2 })
  expect(preparingSinks(plan)).toEqual([])
  const epochs = { ...plan, settings: defaultSettings }
  expect(poolsOf(epochs)).toEqual({ owners: ['a', 'b'], poolSize: 4 })
  expect(preparingSinks(epochs)).toEqual(['a', 'b'])
})
