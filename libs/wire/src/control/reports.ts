/** Reports about one slice ↔ messages of control.proto. Pure, both ways. */
import type { LateInput, SubtaskSnapshot, ToldTimes } from '@weir/checkpoint'
import type { ClaimsNews } from '@weir/dataflow'
import { epoch, operatorUid, subtask } from '@weir/model'
import { control } from '@weir/proto'
import { progressIn, progressOut } from './progress.ts'
import type { SliceReportMessage } from './slice-report.ts'
import { checkpointIn, failureIn, failureOut, json, parsed, sliceIn, sliceOut } from './words.ts'

export function encodeReport(report: SliceReportMessage): control.Report {
  const slice = sliceOut(report.slice)
  switch (report.type) {
    case 'deployed':
      return { body: { $case: 'deployed', value: { slice, exchangeAddress: report.exchangeAddress } } }
    case 'recovered':
      return { body: { $case: 'recovered', value: { slice, proofs: [...report.proofs] } } }
    case 'progress':
      return { body: { $case: 'progress', value: { slice, ...progressOut(report) } } }
    case 'ack': {
      const { checkpoint, snapshot } = report
      const times = ackTimes(report)
      return { body: { $case: 'ack', value: { slice, checkpoint, snapshot: json(snapshot), ...times } } }
    }
    case 'declined': {
      const { checkpoint, failure } = report
      return { body: { $case: 'decline', value: { slice, checkpoint, failure: failureOut(failure) } } }
    }
    case 'gave-up': {
      const { checkpoint, late } = report
      return {
        body: { $case: 'gaveUp', value: { slice, checkpoint, late: late.inputs.map(lateOut), more: late.more } },
      }
    }
    case 'committed':
      return { body: { $case: 'committed', value: { slice, epoch: report.epoch } } }
    case 'source-gap':
      return { body: { $case: 'sourceGap', value: { slice, source: report.source, gap: json(report.gap) } } }
    case 'claims': {
      const { operator, news } = report
      return { body: { $case: 'claims', value: { slice, operator, ...news } } }
    }
    case 'finalized': {
      const { committed, ahead } = report
      return { body: { $case: 'finalized', value: { slice, committedEpoch: committed ?? 0, ahead: [...ahead] } } }
    }
    case 'input-ended':
      return { body: { $case: 'inputEnded', value: { slice } } }
    case 'failed':
      return { body: { $case: 'sliceFailed', value: { slice, failure: failureOut(report.failure) } } }
    case 'stopped':
      return { body: { $case: 'stopped', value: { slice } } }
  }
}

/** Null for what is not about a slice (hello, heartbeat, drain). */
export function decodeReport({ body }: control.Report): SliceReportMessage | null {
  switch (body?.$case) {
    case 'deployed':
      return { type: 'deployed', slice: sliceIn(body.value.slice), exchangeAddress: body.value.exchangeAddress }
    case 'recovered':
      return { type: 'recovered', slice: sliceIn(body.value.slice), proofs: body.value.proofs }
    case 'progress':
      return { type: 'progress', slice: sliceIn(body.value.slice), ...progressIn(body.value) }
    case 'ack': {
      const times = ackTimes(body.value)
      const snapshot = parsed<SubtaskSnapshot>(body.value.snapshot)
      const checkpoint = checkpointIn(body.value.checkpoint)
      return { type: 'ack', slice: sliceIn(body.value.slice), checkpoint, snapshot, ...times }
    }
    case 'decline': {
      const failure = failureIn(body.value.failure)
      return {
        type: 'declined',
        slice: sliceIn(body.value.slice),
        checkpoint: checkpointIn(body.value.checkpoint),
        failure,
      }
    }
    case 'gaveUp': {
      const { late, more } = body.value
      const checkpoint = checkpointIn(body.value.checkpoint)
      const inputs = late.map(lateIn)
      return { type: 'gave-up', slice: sliceIn(body.value.slice), checkpoint, late: { inputs, more } }
    }
    case 'committed':
      return { type: 'committed', slice: sliceIn(body.value.slice), epoch: epoch(body.value.epoch) }
    case 'sourceGap': {
      const { source, gap } = body.value
      return { type: 'source-gap', slice: sliceIn(body.value.slice), source: operatorUid(source), gap: parsed(gap) }
    }
    case 'claims': {
      const { operator, is, why, claims } = body.value
      const news = { is: is as ClaimsNews['is'], why, claims }
      return { type: 'claims', slice: sliceIn(body.value.slice), operator: operatorUid(operator), news }
    }
    case 'finalized': {
      const { committedEpoch, ahead } = body.value
      const committed = committedEpoch === 0 ? null : epoch(committedEpoch)
      return { type: 'finalized', slice: sliceIn(body.value.slice), committed, ahead: ahead.map(operatorUid) }
    }
    case 'inputEnded':
      return { type: 'input-ended', slice: sliceIn(body.value.slice) }
    case 'sliceFailed':
      return { type: 'failed', slice: sliceIn(body.value.slice), failure: failureIn(body.value.failure) }
    case 'stopped':
      return { type: 'stopped', slice: sliceIn(body.value.slice) }
    default:
      return null
  }
}

const ackTimes = (of: ToldTimes): ToldTimes => ({
  ...{ alignMs: of.alignMs, syncMs: of.syncMs, asyncMs: of.asyncMs },
  ...(of.cutMs !== undefined && { cutMs: of.cutMs }),
  ...(of.prepareMs !== undefined && { prepareMs: of.prepareMs }),
  ...(of.uploadMs !== undefined && { uploadMs: of.uploadMs }),
})

const lateOut = (late: LateInput): control.GaveUp_Late => ({
  cause: late.cause,
  stage: late.cause === 'snapshot' ? '' : late.stage,
  ...(late.cause === 'barrier' ? { from: late.from, fromSubtask: late.fromSubtask } : { from: '', fromSubtask: 0 }),
})

function lateIn({ cause, stage, from, fromSubtask }: control.GaveUp_Late): LateInput {
  if (cause === 'barrier') return { cause, stage, from, fromSubtask: subtask(fromSubtask) }
  return cause === 'cut' ? { cause, stage } : { cause: 'snapshot' }
}
