/**
 * The transaction ledger: every transaction of a job that is open, prepared or named by its published epoch. It is derived,
 * never stored: the manifest says what is published, the acks of the running attempt what is prepared, the servers what
 * has not ended.
 *
 * ```
 *   at the server      named by                                            state
 *   not ended          the published epoch                                 published   is to be committed
 *   ended              the published epoch, final or proven committed      committed
 *   aborted            the published epoch, as recovery has proven         lost
 *   not ended          the newest acks, no published epoch yet             prepared
 *   not ended          nobody; an id of the job's pools                    open
 *   not ended          nobody; an id that is not the job's                 foreign     nobody here touches it
 * ```
 *
 * An epoch is atomic for the job, and its subtasks' transactions end one after the other: until it is final some of its
 * output is visible and some is not. The ledger lists which (PROTOCOL C5).
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import {
  parsePoolId,
  poolSize,
  type ListedTransaction,
  type PlanSummary,
  type PreparedHandle,
  type TransactionName,
} from '@weir/dataflow'
import { WeirError, type Epoch, type JobId, type Subtask } from '@weir/model'
import type { Failure } from './state.ts'

/** Two ids that take turns. */
const CONTINUOUS_POOL = 2

export type LedgerState = 'open' | 'prepared' | 'published' | 'committed' | 'lost' | 'foreign'

export interface LedgerEntry extends TransactionName {
  /** Null: the id is not one that Weir gives, or of a job this cluster does not know. */
  readonly jobId: JobId | null
  readonly sink: string | null
  readonly subtask: number | null
  /** Place in the order of its sink subtask; null while it is open. */
  readonly sequence: number | null
  /** The published epoch that names it. */
  readonly epoch: number | null
  readonly state: LedgerState
  readonly records: number | null
  /** Null: not among those that have not ended. */
  readonly atServer: ListedTransaction['state'] | null
  readonly startedAt: number | null
  readonly timeoutMs: number | null
  /** `topic-partition` */
  readonly partitions: readonly string[]
}

/** How one sink subtask came out of its last recovery. */
export interface SinkOutcome {
  readonly sink: string
  readonly subtask: number
  /** The published epoch that was recovered; 0 = none. It says nothing of a later one. */
  readonly epoch: number
  /**
   * - `CLEAN`: every published transaction is proven committed; `HEALED`: some were lost and are written again
   * - `LOST`, `UNKNOWN`, `EPOCH_REGRESSION`: the job has stopped; `facts` say what is missing or contradicts
   * - `UNSETTLED`: published output waits to be committed or healed, as soon as a task-manager is there
   */
  readonly state: 'CLEAN' | 'HEALED' | 'LOST' | 'UNKNOWN' | 'EPOCH_REGRESSION' | 'UNSETTLED'
  readonly facts: Readonly<Record<string, unknown>>
}

type Handles = Pick<SubtaskSnapshot, 'subtask' | 'sinks'>

/** Whose uid stands in the ids of a job: its sinks; in the `continuous` scope the source, whose sinks share transactions. */
export function poolsOf(plan: PlanSummary): Pick<LedgerFacts, 'owners' | 'poolSize'> {
  const { commit, checkpoint } = plan.settings
  return commit.scope === 'continuous'
    ? { owners: plan.sources, poolSize: CONTINUOUS_POOL }
    : { owners: plan.sinks, poolSize: poolSize(checkpoint.toleratedAborts) }
}

/** Sinks whose transactions are prepared for a publish and wait for it. */
export const preparingSinks = (plan: PlanSummary): readonly string[] =>
  plan.settings.commit.scope === 'continuous' ? [] : plan.sinks

/** What the job-manager knows of one job. */
export interface LedgerFacts {
  readonly jobId: JobId
  readonly owners: readonly string[]
  /** The highest parallelism the job ever had: a rescale removes subtasks, not their ids (PROTOCOL B4). */
  readonly subtasks: number
  readonly poolSize: number
  readonly published: { readonly epoch: Epoch; readonly subtasks: readonly Handles[] } | null
  /** The highest epoch whose output is committed. */
  readonly final: number
  /** Newest acks of the running attempt. */
  readonly prepared: readonly Handles[]
  readonly outcomes: readonly SinkOutcome[]
}

/** @param listed what the servers say has not ended, under the job's prefix. In order of ids. */
export function ledgerOf(facts: LedgerFacts, listed: readonly ListedTransaction[]): readonly LedgerEntry[] {
  const left = new Set(listed)
  const take = (handle: PreparedHandle): ListedTransaction | null => {
    for (const one of left) {
      if (!isOf(one, handle)) continue
      left.delete(one)
      return one
    }
    return null
  }
  const entries: LedgerEntry[] = []
  for (const { sink, subtask, handle } of handlesOf(facts.published?.subtasks ?? [])) {
    const server = take(handle)
    const state = server === null ? ended(facts, sink, subtask, handle) : 'published'
    entries.push(entry(facts, handle, server, state, facts.published!.epoch))
  }
  const known = new Set(entries.map(nameOf))
  for (const { handle } of handlesOf(facts.prepared)) {
    if (known.has(nameOf(handle))) continue
    // One that is not listed has been aborted meanwhile: the attempt will hear of it, there is nothing to show.
    const server = take(handle)
    if (server !== null) entries.push(entry(facts, handle, server, 'prepared', null))
  }
  for (const one of left) entries.push(unnamed(one, isOfPool(facts, one) ? facts.jobId : null))
  return entries.sort(inOrder)
}

/** A transaction of no job this cluster knows, or of none of its pools. */
export const foreignEntry = (one: ListedTransaction): LedgerEntry => unnamed(one, null)

const inOrder = (a: LedgerEntry, b: LedgerEntry): number =>
  a.transactionalId === b.transactionalId
    ? (a.sequence ?? Infinity) - (b.sequence ?? Infinity)
    : a.transactionalId < b.transactionalId
      ? -1
      : 1

const nameOf = (t: TransactionName): string => `${t.transactionalId} ${t.producerId} ${t.producerEpoch}`

/** Ending a transaction bumps the epoch at once, before its markers are written. */
const isOf = (listed: ListedTransaction, handle: PreparedHandle): boolean =>
  listed.transactionalId === handle.transactionalId &&
  listed.producerId === handle.producerId &&
  (listed.producerEpoch === handle.producerEpoch ||
    (listed.state !== 'open' && listed.producerEpoch === handle.producerEpoch + 1))

function isOfPool(facts: LedgerFacts, { transactionalId }: TransactionName): boolean {
  const id = parsePoolId(transactionalId)
  return (
    id !== null &&
    id.jobId === facts.jobId &&
    facts.owners.includes(id.sink) &&
    id.subtask < facts.subtasks &&
    id.slot < facts.poolSize
  )
}

/** A published one that has ended at the server. What nobody has proven stays `published`: recovery reads it from the log. */
function ended(facts: LedgerFacts, sink: string, subtask: Subtask, { sequence }: PreparedHandle): LedgerState {
  if (facts.published!.epoch <= facts.final) return 'committed'
  const { epoch } = facts.published!
  const outcome = facts.outcomes.find((o) => o.sink === sink && o.subtask === subtask && o.epoch === epoch)
  switch (outcome?.state) {
    case 'CLEAN':
    case 'HEALED':
      return 'committed'
    case 'LOST':
    case 'UNKNOWN': {
      const stopped = Number(outcome.facts['sequence'])
      if (sequence < stopped) return 'committed'
      return sequence === stopped && outcome.state === 'LOST' ? 'lost' : 'published'
    }
    default:
      return 'published'
  }
}

function entry(
  { jobId }: LedgerFacts,
  handle: PreparedHandle,
  server: ListedTransaction | null,
  state: LedgerState,
  epoch: number | null,
): LedgerEntry {
  const { sequence, records, firstOffsets } = handle
  return {
    jobId,
    ...named(handle),
    ...{ sequence, epoch, state, records },
    atServer: server?.state ?? null,
    startedAt: server?.startedAt ?? null,
    timeoutMs: server?.timeoutMs ?? null,
    partitions: Object.keys(firstOffsets),
  }
}

/** No epoch names it. @param jobId null: foreign. */
function unnamed(one: ListedTransaction, jobId: JobId | null): LedgerEntry {
  const { startedAt, timeoutMs, partitions } = one
  return {
    jobId,
    ...named(one),
    ...{ sequence: null, epoch: null, state: jobId === null ? 'foreign' : 'open', records: null },
    ...{ atServer: one.state, startedAt, timeoutMs, partitions },
  }
}

/** Its name, and what its id says of its sink. */
function named({
  transactionalId,
  producerId,
  producerEpoch,
}: TransactionName): TransactionName & Pick<LedgerEntry, 'sink' | 'subtask'> {
  const id = parsePoolId(transactionalId)
  return { transactionalId, producerId, producerEpoch, sink: id?.sink ?? null, subtask: id?.subtask ?? null }
}

function* handlesOf(
  subtasks: readonly Handles[],
): Generator<{ readonly sink: string; readonly subtask: Subtask; readonly handle: PreparedHandle }> {
  for (const { subtask, sinks } of subtasks)
    for (const [sink, { handles }] of Object.entries(sinks))
      for (const handle of handles as readonly PreparedHandle[]) yield { sink, subtask, handle }
}

// ---- what may be done -----------------------------------------------------------------------------------------------

/**
 * - `running`: an attempt works with the job's transactions, or a publish may be on its way
 * - `waiting`: claimed, and nothing deployed: the restore is chosen
 * - `ended`: the job's id is never used again
 */
export type Standing = 'running' | 'waiting' | 'ended'

/**
 * What to commit so that this one is, in sequence order (PROTOCOL A10); empty when it is committed already. Only what a
 * published epoch names may be. Throws `TRANSACTION_NOT_FOUND`, `TRANSACTION_FOREIGN`, `TRANSACTION_NOT_PUBLISHED`,
 * `TRANSACTION_LOST`, `TRANSACTION_NOT_OPEN` (invalid).
 */
export function toCommit(entries: readonly LedgerEntry[], transactionalId: string): readonly LedgerEntry[] {
  const wanted = find(entries, transactionalId)
  const { state, epoch } = wanted
  switch (state) {
    case 'committed':
      return []
    case 'foreign':
      throw foreign(wanted)
    case 'open':
    case 'prepared':
      throw refused('TRANSACTION_NOT_PUBLISHED', wanted, [
        `${transactionalId} is ${state}, and no published epoch names it: committed now, its output would be written`,
        'again by the restart that does not know of it. A running job commits it with its next checkpoint; for a job that is',
        'over, `weir txn abort` ends it.',
      ])
    case 'lost':
      throw lost(wanted)
    case 'published':
      break
  }
  const before = entries.filter(
    (e) =>
      e.epoch === epoch && e.sink === wanted.sink && e.subtask === wanted.subtask && e.sequence! <= wanted.sequence!,
  )
  const due = before.filter((e) => e.state !== 'committed').sort((a, b) => a.sequence! - b.sequence!)
  for (const e of due) {
    if (e.state === 'lost') throw lost(e)
    if (e.atServer !== null) continue
    throw refused('TRANSACTION_NOT_OPEN', e, [
      `transaction ${e.sequence} of ${e.transactionalId} has ended at the server, and nobody has read from the log yet`,
      'whether it was committed: the next recovery of the job does, or the settling of a job that is over. `weir txn list`',
      'shows the outcome then.',
    ])
  }
  return due
}

/**
 * The one to abort: exactly as it was listed. Throws `TRANSACTION_NOT_FOUND`, `TRANSACTION_FOREIGN`,
 * `TRANSACTION_PUBLISHED` (PROTOCOL B5), `TRANSACTION_IN_USE` (invalid).
 */
export function toAbort(entries: readonly LedgerEntry[], transactionalId: string, standing: Standing): LedgerEntry {
  const wanted = find(entries, transactionalId)
  switch (wanted.state) {
    case 'foreign':
      throw foreign(wanted)
    case 'published':
    case 'committed':
    case 'lost':
      throw refused('TRANSACTION_PUBLISHED', wanted, [
        `${transactionalId} is named by the published epoch ${wanted.epoch} and ${wanted.state}: the input of its output`,
        'is never read again, so an abort would lose it. `weir txn commit` commits it now; the recovery of the job, or the',
        'settling of a job that is over, does so by itself as soon as a task-manager is there.',
      ])
    case 'open':
    case 'prepared':
      if (standing !== 'running') return wanted
      throw refused('TRANSACTION_IN_USE', wanted, [
        `${transactionalId} belongs to the running attempt of job "${wanted.jobId}", which commits it with its next`,
        'checkpoint. To end it now, cancel the job: what is published is committed, the rest is aborted.',
      ])
  }
}

/** The one that has not ended, if there is one; else the newest. */
function find(entries: readonly LedgerEntry[], transactionalId: string): LedgerEntry {
  const of = entries.filter((e) => e.transactionalId === transactionalId)
  const found = of.find((e) => e.atServer !== null) ?? of.at(-1)
  if (found !== undefined) return found
  throw new WeirError(
    { code: 'TRANSACTION_NOT_FOUND', kind: 'invalid', transactionalId },
    `no transaction of ${transactionalId} is open, prepared or published; \`weir txn list\` shows those that are`,
  )
}

const refused = (code: string, of: LedgerEntry, text: readonly string[]): WeirError => {
  const { jobId, transactionalId, producerId, producerEpoch, state, sequence, epoch } = of
  const facts = { jobId, transactionalId, producerId, producerEpoch, state, sequence, epoch }
  return new WeirError({ ...facts, code, kind: 'invalid' }, text.join(' '))
}

const foreign = (of: LedgerEntry): WeirError =>
  refused('TRANSACTION_FOREIGN', of, [
    `${of.transactionalId} belongs to no sink of a job in this cluster, so nobody here can know whether its output counts.`,
    'Ask the cluster that owns it; if there is none any more, use the broker’s own tool: kafka-transactions.sh abort.',
  ])

const lost = (of: LedgerEntry): WeirError =>
  refused('TRANSACTION_LOST', of, [
    `transaction ${of.sequence} of ${of.transactionalId} was aborted by the server after its epoch was published: it cannot`,
    `be committed any more. ${of.records} records are missing in ${of.partitions.join(', ')}.`,
  ])

// ---- outcomes -------------------------------------------------------------------------------------------------------

const VERDICTS: Readonly<Record<string, SinkOutcome['state']>> = {
  TRANSACTION_LOST: 'LOST',
  TRANSACTION_UNKNOWN: 'UNKNOWN',
  EPOCH_REGRESSION: 'EPOCH_REGRESSION',
}

/** The verdict a failed recovery of `epoch` names; null when it failed otherwise. */
export function verdictOf(failure: Failure, epoch: number): SinkOutcome | null {
  const state = VERDICTS[failure.code]
  if (state === undefined) return null
  const { transactionalId, group } = failure.facts
  const id = parsePoolId(String(transactionalId ?? `${String(group)}.0`))
  if (id === null) return null
  const { sink, subtask } = id
  return { sink, subtask, epoch, state, facts: { ...failure.facts, message: failure.message } }
}

/** What the proofs of a recovery that went well amount to. */
export function outcomeOf(
  sink: string,
  subtask: number,
  epoch: number,
  proofs: readonly { readonly sequence: number; readonly by: string }[],
): SinkOutcome {
  const healed = proofs.filter((p) => p.by === 'heal').map((p) => p.sequence)
  return healed.length > 0
    ? { sink, subtask, epoch, state: 'HEALED', facts: { healed } }
    : { sink, subtask, epoch, state: 'CLEAN', facts: {} }
}

/** One per sink subtask: those that have a verdict about `epoch` keep it, the others wait for one. */
export const unsettled = (
  sinks: readonly string[],
  subtasks: number,
  epoch: number,
  known: readonly SinkOutcome[] = [],
): readonly SinkOutcome[] =>
  sinks.flatMap((sink) =>
    Array.from({ length: subtasks }, (_, subtask): SinkOutcome => {
      const verdict = known.find((o) => o.sink === sink && o.subtask === subtask && o.epoch === epoch)
      return verdict ?? { sink, subtask, epoch, state: 'UNSETTLED', facts: {} }
    }),
  )

/** With one replaced, in its place. */
export const withOutcome = (outcomes: readonly SinkOutcome[], next: SinkOutcome): readonly SinkOutcome[] => {
  const at = outcomes.findIndex((o) => o.subtask === next.subtask && o.sink === next.sink)
  return at < 0 ? [...outcomes, next] : outcomes.with(at, next)
}
