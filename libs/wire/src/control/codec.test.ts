import type { SubtaskSnapshot } from '@weir/checkpoint'
import type { SliceCommand } from '@weir/job'
import { attempt, epoch, generation, jobId, operatorUid, subtask, taskManagerId } from '@weir/model'
import { NO_POISON } from '@weir/dataflow'
import { control } from '@weir/proto'
import { expect, test } from 'vitest'
import { decodeCommand, encodeCommand } from './commands.ts'
import { decodeReport, encodeReport } from './reports.ts'
import { reportEvent, type SliceReportMessage } from './slice-report.ts'

const slice = {
  jobId: jobId('pay'),
  attempt: { generation: generation(2 ** 40), attempt: attempt(3) },
  subtask: subtask(1),
}
const checkpoint = { generation: generation(7), epoch: epoch(12), attempt: attempt(3) }
const snapshot: SubtaskSnapshot = {
  subtask: subtask(1),
  sources: { orders: { partitions: { 0: { offset: '9007199254740993', end: null } } } },
  segments: [{ stage: 1, chain: [] }],
  sinks: { sums: { sequence: 4, handles: [{ sequence: 4 }] } },
  watermarks: { 'stage-1': Number.MIN_SAFE_INTEGER },
  recordsIn: 5,
}
const failure = { code: 'X', kind: 'invalid' as const, message: 'größer', facts: { a: 1 } }

const origin = { sink: 'out', place: 1_048_577, offset: 7, ordinal: null }
const commands: SliceCommand[] = [
  { type: 'deploy', slice, bundleDigest: 'd', graphHash: 'g', parallelism: 4 },
  { type: 'recover', slice, snapshot: null, poison: NO_POISON },
  {
    type: 'recover',
    slice,
    snapshot,
    poison: { suspects: [origin], poisoned: [origin, { ...origin, ordinal: '1.2' }] },
  },
  { type: 'run', slice, peers: [{ subtask: subtask(0), taskManagerId: taskManagerId('a'), exchangeAddress: 'h:1' }] },
  {
    ...{ type: 'deploy', slice, bundleDigest: 'd', graphHash: 'g', parallelism: 4 },
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  },
  { type: 'recover', slice, snapshot: null, poison: NO_POISON, traceparent: 't' },
  { type: 'commit', slice, epoch: epoch(12), manifestDigest: 'm', upTo: {}, traceparent: 't' },
  {
    ...{ type: 'trigger', slice, checkpoint, last: false, cut: { mode: 'barrier', why: null } },
    traceparent: 't',
  },
  { type: 'trigger', slice, checkpoint, last: true, cut: { mode: 'barrier', why: null } },
  { type: 'trigger', slice, checkpoint, last: false, cut: { mode: 'watermark', time: -5 } },
  { type: 'give-up', slice, checkpoint, timedOut: true },
  { type: 'commit', slice, epoch: epoch(12), manifestDigest: 'm', upTo: { sums: 4, counts: 2 } },
  { type: 'stop', slice, mode: 'leave' },
  {
    type: 'align',
    slice,
    bounds: [
      { source: operatorUid('orders'), atMost: Number.MIN_SAFE_INTEGER + 10 },
      { source: operatorUid('rates'), atMost: null },
    ],
  },
  {
    type: 'rates',
    slice,
    limits: {
      orders: { recordsPerSecond: 0.5, minRecordsPerSecond: 0.25 },
      rates: { recordsPerSecond: 1e6, minRecordsPerSecond: null },
      all: { recordsPerSecond: null, minRecordsPerSecond: null },
    },
  },
  { type: 'stop', slice, mode: 'abort' },
]
test.each(commands)('command $type travels unchanged', (command) => {
  const bytes = control.Command.encode({ generation: 7, body: encodeCommand(command) }).finish()
  expect(decodeCommand(control.Command.decode(bytes).body)).toEqual(command)
})

const reports: SliceReportMessage[] = [
  { type: 'deployed', slice, exchangeAddress: 'h:1' },
  { type: 'recovered', slice, proofs: [{ sink: 'sums', subtask: 3, sequence: 4, by: 'marker' }] },
  { type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: Number.MIN_SAFE_INTEGER },
  { type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: Number.MAX_SAFE_INTEGER },
  {
    ...{ type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3 },
    lows: [
      { source: operatorUid('orders'), low: -7 },
      { source: operatorUid('rates'), low: null },
    ],
  },
  {
    ...{ type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3 },
    late: [{ operator: operatorUid('per-10s'), records: 2 ** 40 }],
  },
  { type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3, reach: { low: -1, high: 2 } },
  { type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3, reach: null },
  {
    ...{ type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3 },
    rates: [
      {
        source: operatorUid('orders'),
        limit: { recordsPerSecond: 500, minRecordsPerSecond: 50 },
        ...{ current: 123.5, reason: 'slow-reads' },
      },
      {
        source: operatorUid('rates'),
        limit: { recordsPerSecond: null, minRecordsPerSecond: null },
        ...{ current: null, reason: null },
      },
    ],
  },
  {
    ...{ type: 'progress', slice, recordsIn: 1, recordsOut: 2, watermark: 3 },
    splits: [
      { source: operatorUid('orders'), split: 0, watermark: 5, state: 'active', lag: 0 },
      { source: operatorUid('orders'), split: 1, watermark: 5, state: 'idle' },
    ],
    metrics: {
      stages: [
        { stage: operatorUid('orders'), busyMsPerSecond: 700, idleMsPerSecond: 100, backPressuredMsPerSecond: 200 },
      ],
      operators: [{ operator: operatorUid('sums'), recordsIn: 2 ** 40, recordsOut: 0 }],
      latency: { sumMs: 1.5, counts: [1, 0, 2 ** 33] },
    },
  },
  { type: 'ack', slice, checkpoint, snapshot, alignMs: 1, syncMs: 2, asyncMs: 3 },
  { type: 'ack', slice, checkpoint, snapshot, alignMs: 1, syncMs: 2, asyncMs: 3, cutMs: 0 },
  { type: 'ack', slice, checkpoint, snapshot, alignMs: 1, syncMs: 2, asyncMs: 3, cutMs: 0, prepareMs: 4, uploadMs: 0 },
  { type: 'declined', slice, checkpoint, failure },
  {
    type: 'gave-up',
    slice,
    checkpoint,
    late: {
      inputs: [
        { cause: 'barrier', stage: 'by-key', from: 'orders', fromSubtask: subtask(2) },
        { cause: 'cut', stage: 'orders' },
        { cause: 'snapshot' },
      ],
      more: 3,
    },
  },
  { type: 'committed', slice, epoch: epoch(12) },
  {
    type: 'source-gap',
    slice,
    source: operatorUid('in'),
    gap: {
      ...{ topic: 't', partition: 3, offset: '40', logStart: '100', logEnd: '9007199254740993', policy: 'earliest' },
      ...{ resumedAt: '100', gapRecords: 60, skippedRecords: 60, epoch: null },
    },
  },
  {
    ...{ type: 'progress', slice, recordsIn: 5, recordsOut: 4, watermark: 3 },
    claims: [{ operator: operatorUid('once'), duplicates: 2, conflicts: 1 }],
  },
  {
    type: 'claims',
    slice,
    operator: operatorUid('once'),
    news: { is: 'lost', why: 'it had forgotten them', claims: 3 },
  },
  { type: 'finalized', slice, committed: epoch(12), ahead: [operatorUid('sum')] },
  { type: 'finalized', slice, committed: null, ahead: [] },
  { type: 'input-ended', slice },
  { type: 'failed', slice, failure },
  { type: 'stopped', slice },
]
test.each(reports)('report $type travels unchanged', (report) => {
  expect(decodeReport(control.Report.decode(control.Report.encode(encodeReport(report)).finish()))).toEqual(report)
})

test('a failed slice is the event "slice-failed"', () => {
  expect(reportEvent({ type: 'failed', slice, failure })).toEqual({ type: 'slice-failed', slice, failure })
})

test('what is not about a slice is none', () => {
  expect(decodeReport({ body: { $case: 'drain', value: {} } })).toBeNull()
  expect(decodeCommand({ $case: 'notLeader', value: { leaderAddress: '' } })).toBeNull()
})
