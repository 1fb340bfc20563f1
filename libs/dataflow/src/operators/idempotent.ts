/**
 * Lets each event through once, by claims in a store that other jobs and systems may share.
 *
 * - A batch is claimed at once; a bounded number of batches is open, and the stage takes nothing new while there is no room.
 * - Order is kept: batches go on as they came, watermarks between them.
 * - A barrier waits for what is open. What a claim became is in no snapshot: behind a restart the records are read again, and
 *   claim again, by the names they had; who holds a claim passes (`claims.ts`).
 *
 * Duplicates go into the side output `duplicates`, or nowhere; conflicts into `conflicts`.
 */
import { WeirError, emptyOrigins, pushOrigin } from '@weir/model'
import type { AttemptId, Key, OperatorUid, Origins, RecordBatch, Watermark } from '@weir/model'
import { CONFLICTS, DUPLICATES, type Conflict, type IdempotentNode } from '../claim-node.ts'
import { claimOrigin, type ClaimNames, type ClaimOrigin } from '../claim-origin.ts'
import type { Claim, ClaimAnswer, ClaimStore } from '../claims.ts'
import type { AsyncCalls, Collector, Operator, OperatorContext, OperatorCounters } from '../operator.ts'
import type { Refuse } from '../ports.ts'
import { NO_SIDES, type SideCollectors } from '../side-output.ts'
import { operatorFailed, refuseNone, withoutRefused } from '../user-code.ts'

/** Claimed and not handed on: enough to keep a store busy over a round trip. */
export const CLAIM_BATCHES_MAX = 4

/** What the operator takes of the world. */
export interface ClaimPort {
  readonly store: ClaimStore
  readonly attempt: AttemptId
  readonly names: ClaimNames
  /** Of a batch with sampled records: hears what became of each. Null: there are none. Absent: nothing is traced. */
  readonly traced?: ((batch: RecordBatch) => ((answers: readonly ClaimAnswer[]) => void) | null) | undefined
}

interface OpenBatch {
  readonly kind: 'batch'
  readonly batch: RecordBatch
  readonly claims: readonly Claim[]
  answers: readonly ClaimAnswer[] | null
}

type Waiting = OpenBatch | { readonly kind: 'watermark'; readonly timestamp: Watermark }

export class Idempotent implements Operator {
  readonly #node: Pick<IdempotentNode, 'uid' | 'claimOf' | 'onConflict'>
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #port!: ClaimPort
  #originOf!: ClaimOrigin
  #signal!: AbortSignal
  #ready!: () => void
  #isHeld!: () => boolean
  #sides: SideCollectors = NO_SIDES
  #counters!: OperatorCounters
  /** In order. */
  readonly #waiting: Waiting[] = []
  #batches = 0
  #failure: { readonly error: unknown } | null = null
  readonly calls: AsyncCalls

  constructor(node: Pick<IdempotentNode, 'uid' | 'claimOf' | 'onConflict'>) {
    this.#node = node
    this.#uid = node.uid
    const waiting = this.#waiting
    const isFull = (): boolean => this.#batches >= CLAIM_BATCHES_MAX
    this.calls = {
      get isEmpty() {
        return waiting.length === 0
      },
      get isFull() {
        return isFull()
      },
      emit: (out) => this.#emit(out),
    }
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#sides = context.sides ?? NO_SIDES
    this.#counters = context.counters
    this.#counters.duplicates ??= 0
    this.#counters.conflicts ??= 0
    if (context.calls === undefined || context.claims === undefined) throw notHere(this.#uid)
    this.#port = context.claims(this.#uid)
    this.#originOf = claimOrigin(this.#port.names)
    this.#signal = context.calls.signal
    this.#ready = context.calls.ready
    this.#isHeld = context.calls.isHeld
  }

  onBatch(batch: RecordBatch): void {
    const claims = this.#claimsOf(batch)
    if (claims.length === 0) return
    const open: OpenBatch = { kind: 'batch', batch, claims, answers: null }
    this.#waiting.push(open)
    this.#batches++
    const answered = this.#port.traced?.(batch) ?? null
    this.#port.store.claim(claims, this.#signal).then(
      (answers) => {
        open.answers = answers
        answered?.(answers)
        this.#ready()
      },
      (error: unknown) => {
        this.#failure ??= { error }
        this.#ready()
      },
    )
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (this.#waiting.length === 0) out.watermark(timestamp)
    else this.#waiting.push({ kind: 'watermark', timestamp })
  }

  onEnd(): void {}

  /** What cannot be claimed is taken out of the batch. */
  #claimsOf(batch: RecordBatch): Claim[] {
    const { claimOf } = this.#node
    const { attempt } = this.#port
    const { values, timestamps } = batch
    const claims: Claim[] = []
    const refused: number[] = []
    for (let i = 0; i < values.length; i++) {
      try {
        const origin = this.#originOf(batch, i)
        if (origin === null) throw nowhere(this.#uid)
        const eventTime = timestamps[i]!
        const { key, fingerprint } = claimOf(values[i], eventTime)
        claims.push({ key, fingerprint, origin, attempt, eventTime })
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
        refused.push(i)
      }
    }
    if (refused.length > 0) withoutRefused(batch, refused)
    return claims
  }

  #emit(out: Collector): void {
    if (this.#failure !== null) throw this.#failure.error
    for (let first = this.#waiting[0]; first !== undefined && !this.#isHeld(); first = this.#waiting[0]) {
      if (first.kind === 'batch' && first.answers === null) return
      this.#waiting.shift()
      if (first.kind === 'watermark') out.watermark(first.timestamp)
      else {
        this.#batches--
        this.#hand(first, out)
      }
    }
  }

  #hand({ batch, claims, answers }: OpenBatch, out: Collector): void {
    const { onConflict } = this.#node
    const duplicates: number[] = []
    const conflicts: number[] = []
    for (let i = 0; i < answers!.length; i++) {
      const { outcome } = answers![i]!
      if (outcome === 'duplicate') duplicates.push(i)
      else if (outcome === 'conflict') conflicts.push(i)
    }
    if (conflicts.length > 0 && onConflict === 'fail') {
      const i = conflicts[0]!
      throw conflicting(this.#uid, claims[i]!, answers![i]!)
    }
    this.#counters.duplicates! += duplicates.length
    this.#counters.conflicts! += conflicts.length
    if (duplicates.length > 0) this.#aside(DUPLICATES, batch, duplicates, (i) => batch.values[i])
    if (conflicts.length > 0) {
      this.#aside(CONFLICTS, batch, conflicts, (i) => conflictOf(batch.values[i], claims[i]!, answers![i]!))
    }
    const withheld = onConflict === 'pass' ? duplicates : [...duplicates, ...conflicts].sort((a, b) => a - b)
    if (withheld.length === 0 || withoutRefused(batch, withheld)) out.emit(batch)
  }

  #aside(side: string, batch: RecordBatch, indices: readonly number[], valueOf: (index: number) => unknown): void {
    const collector = this.#sides.get(side)
    if (collector === undefined) return
    const { keys, timestamps, origins } = batch
    const [asideKeys, asideOrigins]: [Key[] | null, Origins | undefined] = [
      keys && indices.map((i) => keys[i]!),
      origins && emptyOrigins(origins, origins.ordinals !== null),
    ]
    for (const i of indices) if (asideOrigins !== undefined) pushOrigin(asideOrigins, origins!, i)
    collector.emit({
      keys: asideKeys,
      values: indices.map(valueOf),
      timestamps: indices.map((i) => timestamps[i]!),
      origins: asideOrigins,
    })
  }
}

const conflictOf = (value: unknown, { key, fingerprint }: Claim, { held }: ClaimAnswer): Conflict<unknown> => ({
  kind: 'CONFLICT',
  value,
  ...{ bizKey: key.bizKey, eventType: key.eventType, fingerprint },
  held: { fingerprint: held!.fingerprint, eventTime: held!.eventTime, origin: held!.origin },
})

/** Names no key: it may be a person's. */
const conflicting = (operatorUid: OperatorUid, { origin }: Claim, { held }: ClaimAnswer): WeirError =>
  new WeirError(
    { code: 'CLAIM_CONFLICT', kind: 'invalid', operatorUid, origin, heldBy: held!.origin },
    `idempotent "${operatorUid}": the event read at ${origin} says to be the one read at ${held!.origin}, and differs from it. ` +
      `onConflict is "fail": take one of them out of the input, or use "sideOutput".`,
  )

const nowhere = (operatorUid: OperatorUid): WeirError =>
  new WeirError(
    { code: 'CLAIMS_WITHOUT_ORIGIN', kind: 'invalid', operatorUid },
    `idempotent "${operatorUid}": a record was read nowhere, so a replay could not be told from a duplicate.`,
  )

const notHere = (operatorUid: OperatorUid): WeirError =>
  new WeirError(
    { code: 'CALLS_NOT_HERE', kind: 'invalid', operatorUid },
    `operator "${operatorUid}" asks a store of claims, and nobody waits for it here: run() is synchronous. Test the transform in a job.`,
  )
