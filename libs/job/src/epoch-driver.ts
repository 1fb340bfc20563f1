/**
 * What a job asks of its checkpoint store: the head is claimed, manifests are written and published, one call at a time. Answers
 * are events of the job machine.
 */
import type { CheckpointStore, EpochObjects, Manifest, ManifestRef } from '@weir/checkpoint'
import {
  WeirError,
  asWeirError,
  type Attempt,
  type CheckpointId,
  type Clock,
  type Epoch,
  type Generation,
  type JobId,
} from '@weir/model'
import type { Alerts } from './alerts.ts'
import { KeptEpochs } from './kept-epochs.ts'
import type { Beginning } from './ports.ts'
import type { JobState, UntimedEvent } from './state.ts'

const PUBLISH_BACKOFF_MAX_MS = 2_000
const CLAIM_RETRY_MS = 300
const MANIFEST_RETRY_MS = 300
/** How often a degraded job asks whether etcd is back, and whether head.json is still its own. */
const RECONCILE_MS = 1_000

export interface EpochDriverOptions {
  readonly jobId: JobId
  readonly generation: Generation
  readonly leaseTtlMs: number
  /** Published epochs that are kept. */
  readonly retained: number
  /** An outage of the object store that is shorter costs no epoch. */
  readonly alignTimeoutMs: number
}

export interface EpochDriverDeps {
  readonly checkpoints: CheckpointStore
  readonly epochs: EpochObjects
  readonly beginning: Beginning | null
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly alerts: Alerts
  readonly state: () => JobState
  readonly dispatch: (event: UntimedEvent) => void
  /** Epochs that are being copied: not to be dropped. */
  readonly pinned: () => ReadonlySet<Epoch>
  readonly stepDown: (reason: string) => void
}

export class EpochDriver {
  readonly #options: EpochDriverOptions
  readonly #deps: EpochDriverDeps
  readonly kept: KeptEpochs
  #turn: Promise<unknown> = Promise.resolve()
  #cancelReconcile: (() => void) | null = null
  #closed = false
  /** Of the published epoch and of the one in flight: for those who ask no store. */
  #published: Manifest | null = null
  #stored: Manifest | null = null

  constructor(options: EpochDriverOptions, deps: EpochDriverDeps) {
    this.#options = options
    this.#deps = deps
    const { checkpoints, epochs, clock } = deps
    this.kept = new KeptEpochs(options, {
      checkpoints,
      epochs,
      clock,
      inTurn: (call) => this.inTurn(call),
      isClosed: () => this.#closed,
    })
  }

  /** Of the published epoch, as far as it was written or claimed here. */
  get manifest(): Manifest | null {
    return this.#published
  }

  /** Over with the last call that was asked for. */
  get turn(): Promise<unknown> {
    return this.#turn
  }

  close(): void {
    this.#closed = true
    this.#cancelReconcile?.()
  }

  /** The machine goes on from this one. */
  claimed(manifest: Manifest | null): void {
    this.#published = manifest
  }

  /** @returns its manifest */
  published(ref: ManifestRef): Manifest | null {
    this.#published = this.#stored
    this.kept.published({ ref, manifest: this.#stored })
    return this.#stored
  }

  inTurn(call: () => Promise<void>): void {
    this.#turn = this.#turn.then(call).catch((error: unknown) => {
      const { signal, stepDown } = this.#deps
      if (!this.#closed && !signal.aborted)
        stepDown(`${this.#options.jobId}: internal error in the checkpoint driver: ${String(error)}`)
    })
  }

  async claim(): Promise<void> {
    const { checkpoints, beginning, alerts, clock, signal, dispatch } = this.#deps
    while (!this.#closed) {
      try {
        const outcome = await checkpoints.claim()
        alerts.calm('CLAIM_WAITING')
        this.#watchArbiter('etcd did not answer at the claim')
        if (outcome.kind === 'superseded') {
          return dispatch({ type: 'claim-refused', reason: `generation ${outcome.by} has claimed the job` })
        }
        const { published } = outcome
        if (beginning && (published?.epoch ?? 0) <= beginning.after) return await this.#begin(beginning, published)
        if (published !== null) this.kept.found(published)
        const manifest = published === null ? null : await checkpoints.readManifest(published)
        this.kept.continueFrom(published, manifest)
        return dispatch({ type: 'claimed', published, manifest })
      } catch (thrown) {
        const error = asWeirError(thrown, 'CLAIM_FAILED', 'retry')
        if (error.kind === 'invalid') return dispatch({ type: 'claim-failed', failure: error.toJSON() })
        if (error.kind === 'fenced') return dispatch({ type: 'claim-refused', reason: error.message })
        alerts.raise('CLAIM_WAITING', error.message)
        await clock.sleep(CLAIM_RETRY_MS, signal) // bounded by the lease: the signal ends it
      }
    }
  }

  /** Publishes the first epoch: it continues what stands under the id, and everything after it continues this one. */
  async #begin(beginning: Beginning, ref: ManifestRef | null): Promise<void> {
    const { checkpoints, clock, signal, dispatch, state } = this.#deps
    const { generation, attempt: last, coordinator } = state()
    const attempt = (last + 1) as Attempt
    try {
      const before = ref && { ref, manifest: await checkpoints.readManifest(ref).catch(unreadable) }
      await this.kept.beginBehind(before)
      const epoch = (Math.max(ref?.epoch ?? 0, coordinator.lastEpoch) + 1) as Epoch
      const made = await beginning.make({ generation, attempt, epoch }, before)
      const parentEpoch = ref?.epoch ?? (0 as Epoch)
      const parent = { parentEpoch, parentDigest: ref?.digest ?? null, parentKey: ref?.key ?? null }
      const manifest = { ...made, ...parent, retention: this.kept.retentionOf(made, new Set()) }
      const first = await checkpoints.writeManifest(manifest)
      for (let again = 0; !this.#closed; again++) {
        const outcome = await checkpoints.publish(first)
        if (outcome.kind === 'superseded') return dispatch({ type: 'claim-refused', reason: outcome.reason })
        if (outcome.kind === 'published') {
          this.kept.continueFrom(first, manifest)
          return dispatch({ type: 'claimed', published: first, manifest, attempt })
        }
        await clock.sleep(publishBackoffMs(again + 1), signal)
      }
    } catch (thrown) {
      const error = asWeirError(thrown, 'START_FAILED', 'retry')
      if (error.kind !== 'invalid') throw error // tried again, under the same names
      return dispatch({ type: 'claim-failed', failure: error.toJSON(), attempt })
    }
  }

  /** An outage of the object store shorter than the alignment time costs no epoch. */
  async writeManifest(checkpoint: CheckpointId, collected: Manifest): Promise<void> {
    const { checkpoints, clock, signal, dispatch, state, pinned } = this.#deps
    const manifest = { ...collected, retention: this.kept.retentionOf(collected, pinned()) }
    this.#stored = manifest
    const deadline = clock.monotonic() + this.#options.alignTimeoutMs
    while (!this.#closed) {
      try {
        const ref = await checkpoints.writeManifest(manifest)
        return dispatch({ type: 'stored', checkpoint, ref })
      } catch (thrown) {
        const error = asWeirError(thrown, 'STORE_FAILED')
        const wanted = state().coordinator.phase === 'storing' // else nobody waits for it any more
        if (!wanted || error.kind !== 'retry' || clock.monotonic() >= deadline) {
          return dispatch({ type: 'store-failed', checkpoint, reason: error.message })
        }
        await clock.sleep(MANIFEST_RETRY_MS, signal)
      }
    }
  }

  async publish(checkpoint: CheckpointId, ref: ManifestRef, again: number): Promise<void> {
    const { checkpoints, alerts, clock, signal, dispatch } = this.#deps
    if (again > 0) await clock.sleep(publishBackoffMs(again), signal)
    if (this.#closed) return
    try {
      const outcome = await checkpoints.publish(ref)
      if (outcome.kind === 'unknown') alerts.raise('PUBLISH_UNANSWERED', `epoch ${ref.epoch}: ${outcome.reason}`)
      else alerts.calm('PUBLISH_UNANSWERED')
      this.#watchArbiter(`etcd did not answer when epoch ${ref.epoch} was published`)
      dispatch({ type: 'publish-answered', checkpoint, outcome })
    } catch (thrown) {
      // Whatever went wrong here, the request may have left: that is "unknown", never "failed" (PROTOCOL A3).
      const reason = asWeirError(thrown, 'PUBLISH_FAILED').message
      const fenced = thrown instanceof WeirError && thrown.kind === 'fenced'
      const outcome = { kind: fenced ? 'superseded' : 'unknown', reason } as const
      dispatch({ type: 'publish-answered', checkpoint, outcome })
    }
  }

  /** While etcd is silent: asks now and then, so that the alert is cleared and a takeover is noticed between epochs. */
  #watchArbiter(reason: string): void {
    const { checkpoints, alerts, clock } = this.#deps
    if (!checkpoints.degraded) return alerts.calm('ARBITER_DEGRADED')
    alerts.raise('ARBITER_DEGRADED', `${reason}; epochs are published by head.json alone until it does`)
    if (this.#cancelReconcile !== null || this.#closed) return
    this.#cancelReconcile = clock.after(RECONCILE_MS, () => {
      this.#cancelReconcile = null
      this.inTurn(() => this.#reconcile())
    })
  }

  async #reconcile(): Promise<void> {
    if (this.#closed) return
    const { checkpoints, stepDown } = this.#deps
    const outcome = await checkpoints.reconcile()
    if (outcome.kind === 'superseded') return stepDown(`${this.#options.jobId}: ${outcome.reason}`)
    this.#watchArbiter(outcome.kind === 'degraded' ? outcome.reason : '')
  }
}

const publishBackoffMs = (again: number): number => Math.min(PUBLISH_BACKOFF_MAX_MS, 50 * 2 ** Math.min(again, 10))

/** Null for what no retry can mend. */
function unreadable(thrown: unknown): null {
  if (asWeirError(thrown, 'MANIFEST_UNREADABLE', 'retry').kind === 'invalid') return null
  throw thrown
}
