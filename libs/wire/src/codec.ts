/** Commands and reports of control.proto as the job room and the slots know them. Pure, both ways. */
import { PLAIN_CUT, type LateInput, type LateInputs, type SourceReach, type SubtaskSnapshot } from '@weir/checkpoint'
import {
  NO_POISON,
  type ClaimCounts,
  type ClaimsNews,
  type ConnectorDescriptor,
  type DeadLetter,
  type HandleProof,
  type JobNeeds,
  type JobSettings,
  type LateCount,
  type ListedTransaction,
  type Observed,
  type OffsetGap,
  type Poison,
  type Replay,
  type SinkState,
  type RateLimit,
  type SourceLow,
  type SourceRate,
  type SliceMetrics,
  type SplitTime,
} from '@weir/dataflow'
import type { Failure, JanitorAnswer, JanitorRequest, JobEvent, SliceCommand, SliceId } from '@weir/job'
import {
  attempt,
  epoch,
  generation,
  jobId,
  operatorUid,
  subtask,
  taskManagerId,
  type CheckpointId,
  type Epoch,
  type ErrorKind,
  type OperatorUid,
} from '@weir/model'
import { control } from '@weir/proto'

/** What became of one restored transaction; `subtask` is not always the slice's own (PROTOCOL B4). */
interface SliceProof {
  readonly sink: string
  readonly subtask: number
  readonly sequence: number
  readonly by: string
}

/** What a slot tells of one slice. */
export type SliceReportMessage = { readonly slice: SliceId } & (
  | { readonly type: 'deployed'; readonly exchangeAddress: string }
  | { readonly type: 'recovered'; readonly proofs: readonly SliceProof[] }
  | {
      readonly type: 'progress'
      readonly recordsIn: number
      readonly recordsOut: number
      readonly watermark: number
      readonly reach?: SourceReach | null
      readonly splits?: readonly SplitTime[]
      readonly claims?: readonly ClaimCounts[]
      readonly lows?: readonly SourceLow[]
      readonly late?: readonly LateCount[]
      readonly rates?: readonly SourceRate[]
      readonly metrics?: SliceMetrics
    }
  | {
      readonly type: 'ack'
      readonly checkpoint: CheckpointId
      readonly snapshot: SubtaskSnapshot
      readonly alignMs: number
      readonly syncMs: number
      readonly asyncMs: number
      /** From the trigger until its last stage had taken its snapshot; absent: not told. */
      readonly cutMs?: number
      /** From a stage's snapshot until its sinks had prepared, and until its state was durable; absent: not told. */
      readonly prepareMs?: number
      readonly uploadMs?: number
    }
  | { readonly type: 'declined'; readonly checkpoint: CheckpointId; readonly failure: Failure }
  | { readonly type: 'gave-up'; readonly checkpoint: CheckpointId; readonly late: LateInputs }
  | { readonly type: 'committed'; readonly epoch: Epoch }
  | { readonly type: 'source-gap'; readonly source: OperatorUid; readonly gap: OffsetGap }
  | { readonly type: 'claims'; readonly operator: OperatorUid; readonly news: ClaimsNews }
  | { readonly type: 'finalized'; readonly committed: Epoch | null; readonly ahead: readonly OperatorUid[] }
  | { readonly type: 'input-ended' }
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'stopped' }
)

type AckTimes = Pick<
  Extract<SliceReportMessage, { type: 'ack' }>,
  'alignMs' | 'syncMs' | 'asyncMs' | 'cutMs' | 'prepareMs' | 'uploadMs'
>
/** An older task-manager tells less: what is absent stays so. */
const ackTimes = (of: AckTimes): AckTimes => ({
  ...{ alignMs: of.alignMs, syncMs: of.syncMs, asyncMs: of.asyncMs },
  ...(of.cutMs !== undefined && { cutMs: of.cutMs }),
  ...(of.prepareMs !== undefined && { prepareMs: of.prepareMs }),
  ...(of.uploadMs !== undefined && { uploadMs: of.uploadMs }),
})

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const parsed = <T>({ buffer, byteOffset, byteLength }: Uint8Array): T =>
  JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString('utf8')) as T

const optionalJson = (value: unknown): Buffer => (value === null ? Buffer.alloc(0) : json(value))
const optionallyParsed = <T>(bytes: Uint8Array): T | null => (bytes.byteLength === 0 ? null : parsed<T>(bytes))

const sliceOut = ({ jobId, attempt, subtask }: SliceId): control.SliceId => ({
  jobId,
  generation: attempt.generation,
  attempt: attempt.attempt,
  subtask,
})
const sliceIn = (s: control.SliceId | undefined): SliceId => ({
  jobId: jobId(s!.jobId),
  attempt: { generation: generation(s!.generation), attempt: attempt(s!.attempt) },
  subtask: subtask(s!.subtask),
})
const checkpointIn = (c: control.Checkpoint | undefined): CheckpointId => ({
  generation: generation(c!.generation),
  epoch: epoch(c!.epoch),
  attempt: attempt(c!.attempt),
})
const failureOut = (f: Failure): control.Failure => ({ ...f, facts: JSON.stringify(f.facts) })
const failureIn = (f: control.Failure | undefined): Failure => ({
  code: f!.code,
  kind: f!.kind as ErrorKind,
  message: f!.message,
  facts: JSON.parse(f!.facts || '{}') as Record<string, unknown>,
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

const limitOut = ({ recordsPerSecond, minRecordsPerSecond }: RateLimit) => ({
  recordsPerSecond: recordsPerSecond ?? undefined,
  minRecordsPerSecond: minRecordsPerSecond ?? undefined,
})
const limitIn = (of: { recordsPerSecond?: number; minRecordsPerSecond?: number }): RateLimit => ({
  recordsPerSecond: of.recordsPerSecond ?? null,
  minRecordsPerSecond: of.minRecordsPerSecond ?? null,
})
const rateOut = ({ source, limit, current, reason }: SourceRate): control.SourceRates_Source => ({
  ...{ source, ...limitOut(limit), current: current ?? undefined, reason: reason ?? '' },
})
const rateIn = ({ source, current, reason, ...limit }: control.SourceRates_Source): SourceRate => ({
  source: operatorUid(source),
  limit: limitIn(limit),
  current: current ?? null,
  reason: reason === '' ? null : (reason as SourceRate['reason']),
})

const metricsOut = ({ stages, operators, latency }: SliceMetrics): control.SliceMetrics => ({
  stages: [...stages],
  operators: [...operators],
  latency: latency && { sumMs: latency.sumMs, counts: [...latency.counts] },
})
const metricsIn = ({ stages, operators, latency }: control.SliceMetrics): SliceMetrics => ({
  stages: stages.map(({ stage, ...of }) => ({ stage: operatorUid(stage), ...of })),
  operators: operators.map(({ operator, ...of }) => ({ operator: operatorUid(operator), ...of })),
  ...(latency && { latency }),
})

const tracedIn = ({ traceparent }: { readonly traceparent?: string | undefined }): { traceparent?: string } =>
  traceparent === undefined ? {} : { traceparent }

export const slicesOut = (slices: readonly SliceId[]): control.SliceId[] => slices.map(sliceOut)
export const slicesIn = (slices: readonly control.SliceId[]): SliceId[] => slices.map(sliceIn)

export function encodeCommand(command: SliceCommand): control.Command['body'] {
  const slice = sliceOut(command.slice)
  const { traceparent } = command
  const traced = traceparent === undefined ? {} : { traceparent }
  switch (command.type) {
    case 'deploy': {
      const { bundleDigest, graphHash, parallelism } = command
      return { $case: 'deploy', value: { slice, bundleDigest, graphHash, parallelism, ...traced } }
    }
    case 'recover':
      return {
        $case: 'recover',
        value: { slice, snapshot: optionalJson(command.snapshot), poison: json(command.poison), ...traced },
      }
    case 'run':
      return { $case: 'run', value: { slice, peers: [...command.peers] } }
    case 'trigger': {
      const { checkpoint, last, cut, degraded = false } = command
      const cutTime = cut.mode === 'watermark' && { cutTime: cut.time }
      return { $case: 'trigger', value: { slice, checkpoint, last, degraded, ...cutTime, ...traced } }
    }
    case 'give-up':
      return { $case: 'giveUp', value: { slice, checkpoint: command.checkpoint, timedOut: command.timedOut } }
    case 'commit': {
      const { epoch, manifestDigest, upTo } = command
      return { $case: 'commit', value: { slice, epoch, manifestDigest, upTo, ...traced } }
    }
    case 'stop': {
      const mode = command.mode === 'abort' ? control.Stop_Mode.ABORT : control.Stop_Mode.LEAVE
      return { $case: 'stop', value: { slice, mode } }
    }
    case 'align': {
      const bounds = command.bounds.map(({ source, atMost }) => ({ source, ...(atMost !== null && { atMost }) }))
      return { $case: 'align', value: { slice, bounds } }
    }
    case 'rates': {
      const sources = Object.entries(command.limits).map(([source, limit]) => ({ source, ...limitOut(limit) }))
      return { $case: 'rates', value: { slice, sources } }
    }
  }
}

/** Null for what is not about a slice (welcome, notLeader). */
export function decodeCommand(body: control.Command['body']): SliceCommand | null {
  switch (body?.$case) {
    case 'deploy': {
      const { bundleDigest, graphHash, parallelism } = body.value
      const slice = sliceIn(body.value.slice)
      return { type: 'deploy', slice, bundleDigest, graphHash, parallelism, ...tracedIn(body.value) }
    }
    case 'recover': {
      const { slice, snapshot, poison } = body.value
      return {
        type: 'recover',
        slice: sliceIn(slice),
        snapshot: optionallyParsed<SubtaskSnapshot>(snapshot),
        poison: optionallyParsed<Poison>(poison) ?? NO_POISON,
        ...tracedIn(body.value),
      }
    }
    case 'run': {
      const peers = body.value.peers.map((p) => ({
        subtask: subtask(p.subtask),
        taskManagerId: taskManagerId(p.taskManagerId),
        exchangeAddress: p.exchangeAddress,
      }))
      return { type: 'run', slice: sliceIn(body.value.slice), peers }
    }
    case 'trigger': {
      const { last, cutTime: time, degraded } = body.value
      const checkpoint = checkpointIn(body.value.checkpoint)
      const cut = time === undefined ? PLAIN_CUT : { mode: 'watermark' as const, time }
      const slice = sliceIn(body.value.slice)
      return { type: 'trigger', slice, checkpoint, last, cut, ...(degraded && { degraded }), ...tracedIn(body.value) }
    }
    case 'giveUp': {
      const { timedOut } = body.value
      const checkpoint = checkpointIn(body.value.checkpoint)
      return { type: 'give-up', slice: sliceIn(body.value.slice), checkpoint, timedOut }
    }
    case 'commit': {
      const { manifestDigest, upTo } = body.value
      const of = { epoch: epoch(body.value.epoch), manifestDigest, upTo }
      return { type: 'commit', slice: sliceIn(body.value.slice), ...of, ...tracedIn(body.value) }
    }
    case 'stop': {
      const mode = body.value.mode === control.Stop_Mode.ABORT ? 'abort' : 'leave'
      return { type: 'stop', slice: sliceIn(body.value.slice), mode }
    }
    case 'rates': {
      const limits = Object.fromEntries(body.value.sources.map(({ source, ...limit }) => [source, limitIn(limit)]))
      return { type: 'rates', slice: sliceIn(body.value.slice), limits }
    }
    case 'align': {
      const bounds = body.value.bounds.map(({ source, atMost }) => ({
        source: operatorUid(source),
        atMost: atMost ?? null,
      }))
      return { type: 'align', slice: sliceIn(body.value.slice), bounds }
    }
    default:
      return null
  }
}

export function encodeReport(report: SliceReportMessage): control.Report {
  const slice = sliceOut(report.slice)
  switch (report.type) {
    case 'deployed':
      return { body: { $case: 'deployed', value: { slice, exchangeAddress: report.exchangeAddress } } }
    case 'recovered':
      return { body: { $case: 'recovered', value: { slice, proofs: [...report.proofs] } } }
    case 'progress': {
      const { recordsIn, recordsOut, watermark, reach, splits, claims, lows, late, rates, metrics } = report
      const told = reach === undefined ? undefined : { active: reach ?? undefined }
      const times = splits && { splits: [...splits] }
      const aligned = lows && { sources: lows.map(({ source, low }) => ({ source, ...(low !== null && { low }) })) }
      const counts = late && { operators: [...late] }
      const value = {
        slice,
        recordsIn,
        recordsOut,
        watermark,
        stateEntries: 0,
        reach: told,
        times,
        aligned,
        claims: claims && { counts: [...claims] },
        late: counts,
        rates: rates && { sources: rates.map(rateOut) },
        metrics: metrics && metricsOut(metrics),
      }
      return { body: { $case: 'progress', value } }
    }
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
    case 'progress': {
      const {
        recordsIn,
        recordsOut,
        watermark,
        reach,
        times,
        aligned,
        claims: claimed,
        late,
        rates: told,
        metrics: of,
      } = body.value
      const splits = times && { splits: times.splits as unknown as readonly SplitTime[] }
      const lows = aligned && {
        lows: aligned.sources.map(({ source, low }): SourceLow => ({ source: operatorUid(source), low: low ?? null })),
      }
      const claims = claimed && {
        claims: claimed.counts.map(({ operator, ...of }): ClaimCounts => ({ operator: operatorUid(operator), ...of })),
      }
      const counts = late && {
        late: late.operators.map(({ operator, records }) => ({ operator: operatorUid(operator), records })),
      }
      const active = reach && { reach: reach.active ?? null }
      const rates = told && { rates: told.sources.map(rateIn) }
      const progress = {
        recordsIn,
        recordsOut,
        watermark,
        ...active,
        ...splits,
        ...claims,
        ...lows,
        ...counts,
        ...rates,
        ...(of && { metrics: metricsIn(of) }),
      }
      return { type: 'progress', slice: sliceIn(body.value.slice), ...progress }
    }
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

// ---- janitor --------------------------------------------------------------------------------------------------------

const STATES = ['open', 'committing', 'aborting'] as const

export function encodeJanitor(request: number, of: JanitorRequest): control.Command['body'] {
  return { $case: 'janitor', value: { request, act: encodeAct(of) } }
}

function encodeAct(of: JanitorRequest): control.Janitor['act'] {
  switch (of.type) {
    case 'list':
      return { $case: 'list', value: { prefix: of.prefix } }
    case 'end': {
      const { connector, transaction, decision } = of
      const { transactionalId, producerId, producerEpoch } = transaction
      const commit = decision === 'commit'
      return { $case: 'end', value: { connector, transactionalId, producerId, producerEpoch, commit } }
    }
    case 'settle': {
      const { jobId, sink, subtask, descriptor, settings, restored } = of.sink
      const value = {
        jobId,
        sink,
        subtask,
        descriptor: json(descriptor),
        settings: json(settings),
        restored: optionalJson(restored),
      }
      return { $case: 'settle', value }
    }
    case 'dead-letters': {
      const { connector, topic, jobId, from, limit } = of
      return { $case: 'deadLetters', value: { connector, topic, jobId, from: optionalJson(from), limit } }
    }
    case 'replay': {
      const { connector, topic, jobId, origins, replayId } = of
      const which = { origins: [...(origins ?? [])], all: origins === null }
      return { $case: 'replay', value: { connector, topic, jobId, ...which, replayId } }
    }
    case 'examine':
      return { $case: 'examine', value: { needs: json(of.needs) } }
  }
}

/** Null for an act of a later version. */
export function decodeAct(act: control.Janitor['act']): JanitorRequest | null {
  switch (act?.$case) {
    case 'list':
      return { type: 'list', prefix: act.value.prefix }
    case 'end': {
      const { connector, commit, ...transaction } = act.value
      return { type: 'end', connector, transaction, decision: commit ? 'commit' : 'abort' }
    }
    case 'settle': {
      const { value } = act
      const sink = {
        jobId: jobId(value.jobId),
        sink: operatorUid(value.sink),
        subtask: subtask(value.subtask),
        descriptor: parsed<ConnectorDescriptor>(value.descriptor),
        settings: parsed<JobSettings>(value.settings),
        restored: optionallyParsed<SinkState>(value.restored),
      }
      return { type: 'settle', sink }
    }
    case 'deadLetters': {
      const { connector, topic, jobId: job, from, limit } = act.value
      return { type: 'dead-letters', connector, topic, jobId: jobId(job), from: optionallyParsed(from), limit }
    }
    case 'replay': {
      const { connector, topic, jobId: job, origins, all, replayId } = act.value
      return { type: 'replay', connector, topic, jobId: jobId(job), origins: all ? null : origins, replayId }
    }
    case 'examine':
      return { type: 'examine', needs: parsed<JobNeeds>(act.value.needs) }
    default:
      return null
  }
}

export function encodeAnswer(request: number, answer: JanitorAnswer | { readonly failure: Failure }): control.Report {
  return { body: { $case: 'janitor', value: { request, result: encodeResult(answer) } } }
}

function encodeResult(answer: JanitorAnswer | { readonly failure: Failure }): control.JanitorAnswer['result'] {
  if ('failure' in answer) return { $case: 'failure', value: failureOut(answer.failure) }
  switch (answer.type) {
    case 'listed': {
      const transactions = answer.transactions.map(({ startedAt, ...t }) => ({
        ...t,
        state: STATES.indexOf(t.state),
        partitions: [...t.partitions],
        ...(startedAt !== null && { startedAt }),
      }))
      return { $case: 'listed', value: { connectors: [...answer.connectors], transactions } }
    }
    case 'ended':
      return { $case: 'ended', value: { done: answer.outcome === 'done' } }
    case 'settled':
      return { $case: 'settled', value: { proofs: answer.proofs.map((proof) => ({ sink: '', subtask: 0, ...proof })) } }
    case 'letters':
      return { $case: 'letters', value: { letters: json(answer.letters), next: optionalJson(answer.next) } }
    case 'replayed':
      return { $case: 'replayed', value: { replay: json(answer.replay) } }
    case 'examined':
      return { $case: 'examined', value: { observed: json(answer.observed) } }
  }
}

export function decodeAnswer(result: control.JanitorAnswer['result']): JanitorAnswer | { readonly failure: Failure } {
  switch (result?.$case) {
    case 'listed': {
      const transactions = result.value.transactions.map((t): ListedTransaction => ({
        ...t,
        state: STATES.find((_, i) => i === t.state) ?? 'open',
        startedAt: t.startedAt ?? null,
      }))
      return { type: 'listed', connectors: result.value.connectors, transactions }
    }
    case 'ended':
      return { type: 'ended', outcome: result.value.done ? 'done' : 'refused' }
    case 'settled': {
      const proofs = result.value.proofs.map(({ sequence, by }): HandleProof => ({
        sequence,
        outcome: 'committed',
        by: by as HandleProof['by'],
      }))
      return { type: 'settled', proofs }
    }
    case 'letters': {
      const { letters, next } = result.value
      return { type: 'letters', letters: parsed<DeadLetter[]>(letters), next: optionallyParsed(next) }
    }
    case 'replayed':
      return { type: 'replayed', replay: parsed<Replay>(result.value.replay) }
    case 'examined':
      return { type: 'examined', observed: parsed<Observed>(result.value.observed) }
    case 'failure':
      return { failure: failureIn(result.value) }
    default:
      return {
        failure: { code: 'JANITOR_NOT_UNDERSTOOD', kind: 'retry', message: 'an answer without content', facts: {} },
      }
  }
}

type Untimed<T> = T extends unknown ? Omit<T, 'now' | 'wallClock' | 'random'> : never

/** The event the job machine takes for a report. */
export function reportEvent(report: SliceReportMessage): Untimed<JobEvent> {
  return report.type === 'failed' ? { ...report, type: 'slice-failed' } : report
}
