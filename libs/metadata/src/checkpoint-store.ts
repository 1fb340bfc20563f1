/** Drives the arbiter machine over a register (etcd) and a mirror (object store): the CheckpointStore of one job and term. */
import {
  type CheckpointStore,
  type ClaimOutcome,
  type Head,
  type Manifest,
  type ManifestRef,
  type ObjectStore,
  type PublishOutcome,
  type ReconcileOutcome,
} from '@weir/checkpoint'
import { WeirError, asWeirError, type Generation, type JobId, type Random } from '@weir/model'
import {
  arbiterFor,
  stepArbiter,
  type ArbiterEffect,
  type ArbiterEvent,
  type ArbiterKind,
  type ArbiterState,
  type RegisterView,
} from './arbiter.ts'
import { headKey } from './keys.ts'
import { decodeManifest, encodeManifest } from './manifest-codec.ts'

/** The arbiter's key of each job. Both calls are linearizable; an unanswered one throws kind `retry`. */
export interface HeadRegister {
  read(jobId: JobId): Promise<RegisterView>
  /** One transaction: leader key ours and revision as expected → put; else answers what is there. */
  swap(
    jobId: JobId,
    ref: ManifestRef,
    expected: string,
  ): Promise<{ readonly won: boolean; readonly view: RegisterView }>
}

/** The head of a job as the register has it, for stores that cannot hold one: null when the leader key is not ours. */
export async function registerHead(register: HeadRegister, jobId: JobId, generation: Generation): Promise<Head | null> {
  const { leading, manifest, revision } = await register.read(jobId)
  return leading ? { generation, manifest, nonce: revision } : null
}

export interface ArbitratedStoreDeps {
  readonly objects: ObjectStore
  readonly register: HeadRegister
  readonly random: Random
}

type Outcome = Extract<
  ArbiterEffect,
  { type: 'claimed' | 'published' | 'reconciled' | 'superseded' | 'unknown' | 'refused' }
>

export class ArbitratedCheckpointStore implements CheckpointStore {
  readonly #jobId: JobId
  readonly #deps: ArbitratedStoreDeps
  #state: ArbiterState
  #claimedOnce = false

  constructor(jobId: JobId, generation: Generation, kind: ArbiterKind, deps: ArbitratedStoreDeps) {
    this.#jobId = jobId
    this.#deps = deps
    this.#state = arbiterFor(generation, kind)
  }

  get degraded(): boolean {
    return this.#state.degraded
  }

  async claim(): Promise<ClaimOutcome> {
    const outcome = await this.#drive({ type: 'claim', nonce: this.#deps.random.nonce() })
    switch (outcome.type) {
      case 'claimed': {
        this.#claimedOnce = true
        const { revision, mirrorTag } = this.#state
        return { kind: 'claimed', published: outcome.published, headRevision: revision, mirrorTag }
      }
      case 'superseded':
        return { kind: 'superseded', by: outcome.by ?? this.#state.generation }
      case 'unknown':
        throw new WeirError(
          { code: 'ARBITER_UNAVAILABLE', kind: 'retry', jobId: this.#jobId },
          `job ${this.#jobId} cannot be claimed: ${outcome.reason}. The object store must be reachable, and etcd too unless this leader has ` +
            'claimed the job before.',
        )
      default:
        throw this.#refusal(outcome)
    }
  }

  async writeManifest(manifest: Manifest): Promise<ManifestRef> {
    this.#claimRequired()
    const { ref, bytes } = encodeManifest(manifest)
    await this.#deps.objects.put(ref.key, bytes)
    return ref
  }

  async readManifest(ref: ManifestRef): Promise<Manifest> {
    const object = await this.#deps.objects.get(ref.key)
    if (object === null) {
      throw new WeirError(
        { code: 'MANIFEST_MISSING', kind: 'invalid', key: ref.key, epoch: ref.epoch },
        `manifest ${ref.key} of the published epoch ${ref.epoch} is not in the object store: restore that object (was ` +
          'it deleted by a lifecycle rule?); the job does not start from anything else',
      )
    }
    return decodeManifest(ref, object.bytes)
  }

  async publish(ref: ManifestRef): Promise<PublishOutcome> {
    this.#claimRequired()
    const outcome = await this.#drive({ type: 'publish', ref })
    switch (outcome.type) {
      case 'published': {
        const { revision, mirrorTag } = this.#state
        return { kind: 'published', published: { manifest: ref, headRevision: revision, mirrorTag } }
      }
      case 'unknown':
      case 'superseded':
        return { kind: outcome.type, reason: outcome.reason }
      default:
        throw this.#refusal(outcome)
    }
  }

  async reconcile(): Promise<ReconcileOutcome> {
    this.#claimRequired()
    const outcome = await this.#drive({ type: 'reconcile' })
    switch (outcome.type) {
      case 'reconciled':
        return { kind: 'reconciled' }
      case 'unknown':
        return { kind: 'degraded', reason: outcome.reason }
      case 'superseded':
        return { kind: 'superseded', reason: outcome.reason }
      default:
        throw this.#refusal(outcome)
    }
  }

  /** Effects one after the other until the machine answers; what throws is "no answer". */
  async #drive(first: ArbiterEvent): Promise<Outcome> {
    let event = first
    for (;;) {
      const step = stepArbiter(this.#state, event)
      this.#state = step.state
      const [effect] = step.effects
      if (effect === undefined) throw new Error('internal: the arbiter machine answered nothing')
      try {
        switch (effect.type) {
          case 'read-mirror': {
            const object = await this.#deps.objects.get(headKey(this.#jobId))
            const head = object && (JSON.parse(Buffer.from(object.bytes).toString('utf8')) as Head)
            event = { type: 'mirror-read', view: { head, tag: object?.etag ?? null } }
            break
          }
          case 'swap-mirror': {
            const condition = effect.expected === null ? { ifNoneMatch: '*' as const } : { ifMatch: effect.expected }
            const bytes = Buffer.from(JSON.stringify(effect.head))
            const put = await this.#deps.objects.put(headKey(this.#jobId), bytes, condition)
            event = { type: 'mirror-swapped', tag: put.kind === 'stored' ? put.etag : null }
            break
          }
          case 'read-register':
            event = { type: 'register-read', view: await this.#deps.register.read(this.#jobId) }
            break
          case 'swap-register': {
            const { ref, expected } = effect
            event = { type: 'register-swapped', ...(await this.#deps.register.swap(this.#jobId, ref, expected)) }
            break
          }
          default:
            return effect
        }
      } catch (thrown) {
        event = { type: 'no-answer', reason: asWeirError(thrown, 'ARBITER_UNAVAILABLE', 'retry').message }
      }
    }
  }

  #claimRequired(): void {
    if (this.#claimedOnce) return
    throw new WeirError(
      { code: 'CLAIM_REQUIRED', kind: 'invalid', jobId: this.#jobId },
      `job ${this.#jobId} was not claimed in this term: claim() must have succeeded first`,
    )
  }

  #refusal(outcome: Outcome): WeirError {
    const code = outcome.type === 'refused' ? outcome.code : 'INTERNAL'
    const reason = outcome.type === 'refused' ? outcome.reason : `unexpected ${outcome.type}`
    return new WeirError({ code, kind: 'invalid', jobId: this.#jobId }, `job ${this.#jobId}: ${reason}`)
  }
}
