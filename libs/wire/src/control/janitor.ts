/** What the leader asks of the servers through a task-manager ↔ messages of control.proto. Pure, both ways. */
import type {
  ConnectorDescriptor,
  DeadLetter,
  HandleProof,
  JobNeeds,
  JobSettings,
  ListedTransaction,
  Observed,
  Replay,
  SinkState,
} from '@weir/dataflow'
import type { Failure, JanitorAnswer, JanitorRequest } from '@weir/job'
import { jobId, operatorUid, subtask } from '@weir/model'
import { control } from '@weir/proto'
import { failureIn, failureOut, json, optionalJson, optionallyParsed, parsed } from './words.ts'

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
