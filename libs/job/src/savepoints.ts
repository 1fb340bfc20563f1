/**
 * Savepoints of one running job: who waits for which epoch, and the copying of it. A wish is met by the first final epoch
 * that was triggered after it. It is of this term only: when the leader dies, what it had begun is not complete, and so is
 * none; who waits asks again. A job that is to stop is asked again by its record.
 */
import {
  outputBehind,
  savepointName,
  savepointOf,
  type PublishedEpoch,
  type Manifest,
  type SavepointOrigin,
  type SavepointStore,
  type StoredSavepoint,
} from '@weir/checkpoint'
import { WeirError, asWeirError, type Clock, type Epoch, type JobId } from '@weir/model'
import type { Failure } from './state.ts'

/** Wishes that are not met yet. */
const SAVEPOINTS_PENDING_MAX = 16
/** Failed ones remembered for people. */
const FAILED_MAX = 100

export interface SavepointView {
  readonly jobId: JobId
  readonly name: string
  readonly state: 'IN_PROGRESS' | 'COMPLETE' | 'FAILED'
  /** Null: no epoch yet. */
  readonly epoch: number | null
  /** ms since 1970: asked for, or taken. */
  readonly takenAt: number
  readonly parallelism: number | null
  /** Of its segments. */
  readonly bytes: number | null
  /** The sources stopped at its barrier. */
  readonly stopped: boolean
  /** Key prefix in the object store of everything that belongs to it; null until it is complete. */
  readonly folder: string | null
  readonly error: Failure | null
}

export function savepointView({ savepoint, folder }: StoredSavepoint): SavepointView {
  const { jobId, name, epoch, takenAt, parallelism, stopped, subtasks } = savepoint
  const chains = subtasks.flatMap(({ segments }) =>
    (segments as readonly { readonly chain: readonly { readonly key: string; readonly bytes: number }[] }[]).flatMap(
      ({ chain }) => chain,
    ),
  )
  const bytes = [...new Map(chains.map(({ key, bytes }) => [key, bytes])).values()].reduce((sum, b) => sum + b, 0)
  return { jobId, name, state: 'COMPLETE', epoch, takenAt, parallelism, bytes, stopped, folder, error: null }
}

interface Wish {
  view: SavepointView
  /** Epochs up to here were triggered before it. */
  readonly after: Epoch
  /** Of epochs that have become final since; null: none was known to be before. */
  output: ReturnType<typeof outputBehind> | null
}

export interface SavepointsDeps {
  readonly store: SavepointStore
  readonly clock: Clock
  readonly publish: (channel: string, message: Record<string, unknown>) => void
}

export class Savepoints {
  readonly #jobId: JobId
  readonly #origin: SavepointOrigin
  readonly #deps: SavepointsDeps
  readonly #wishes = new Map<string, Wish>()
  /** The newest final epoch seen here. */
  #final: Epoch | null = null
  /** Epochs being copied, with how many savepoints are made of them. */
  readonly #copying = new Map<Epoch, number>()

  constructor(jobId: JobId, origin: SavepointOrigin, deps: SavepointsDeps) {
    this.#jobId = jobId
    this.#origin = origin
    this.#deps = deps
  }

  /** Must not be deleted meanwhile. */
  get pinned(): ReadonlySet<Epoch> {
    return new Set(this.#copying.keys())
  }

  /** An epoch is waited for. */
  get waiting(): boolean {
    return [...this.#wishes.values()].some(({ view }) => view.state === 'IN_PROGRESS' && view.epoch === null)
  }

  /** Throws `SAVEPOINT_NAME_INVALID`, `SAVEPOINT_EXISTS` (invalid), `SAVEPOINTS_PENDING` (retry). */
  wish(name: string, after: Epoch): SavepointView {
    savepointName(name)
    const pending = [...this.#wishes.values()].filter(({ view }) => view.state === 'IN_PROGRESS')
    if (pending.some(({ view }) => view.name === name)) throw savepointExists(this.#jobId, name)
    if (pending.length >= SAVEPOINTS_PENDING_MAX) {
      throw new WeirError(
        { code: 'SAVEPOINTS_PENDING', kind: 'retry', jobId: this.#jobId, pending: pending.length },
        `${pending.length} savepoints of ${this.#jobId} are being taken already; try again when one is complete`,
      )
    }
    const facts = { epoch: null, parallelism: null, bytes: null, stopped: false, folder: null, error: null }
    const { clock } = this.#deps
    const view: SavepointView = { jobId: this.#jobId, name, state: 'IN_PROGRESS', takenAt: clock.now(), ...facts }
    const output = this.#final === null ? null : { after: this.#final, upTo: this.#final, transactions: [] }
    this.#wishes.set(name, { view, after, output })
    return view
  }

  /** An epoch is final. */
  final({ manifest }: PublishedEpoch): void {
    if (manifest === null) return
    this.#final = manifest.epoch
    for (const wish of this.#wishes.values()) {
      const { state, epoch } = wish.view
      if (state !== 'IN_PROGRESS' || epoch !== null) continue
      wish.output = outputBehind(wish.output, manifest)
      if (manifest.epoch <= wish.after) continue
      wish.view = { ...wish.view, epoch: manifest.epoch }
      void this.#take(wish.view.name, manifest, false, wish.output)
        .then((stored) => (wish.view = savepointView(stored)))
        .catch((thrown: unknown) => this.#failed(wish, thrown))
    }
  }

  /** Of the epoch that a job has stopped with. Throws what kept it from being made. */
  async atStop(name: string, manifest: Manifest | null): Promise<void> {
    if (manifest === null) return
    await this.#take(name, manifest, true).catch((thrown: unknown) => {
      const error = asWeirError(thrown, 'SAVEPOINT_FAILED').toJSON()
      this.#deps.publish('weir:savepoint:failed', { savepoint: name, epoch: manifest.epoch, error })
      throw thrown
    })
  }

  /** The job ends: nothing will be final any more. */
  over(why: string): void {
    for (const wish of this.#wishes.values()) {
      if (wish.view.state !== 'IN_PROGRESS' || wish.view.epoch !== null) continue
      this.#failed(wish, new WeirError({ code: 'SAVEPOINT_NOT_TAKEN', kind: 'invalid', jobId: this.#jobId }, why))
    }
  }

  /** Of this term: in progress or failed. Complete ones are in the store. */
  views(): readonly SavepointView[] {
    return [...this.#wishes.values()].map(({ view }) => view).filter(({ state }) => state !== 'COMPLETE')
  }

  async #take(
    name: string,
    manifest: Manifest,
    stopped: boolean,
    output = outputBehind(null, manifest),
  ): Promise<StoredSavepoint> {
    const { store, clock, publish } = this.#deps
    const { epoch } = manifest
    this.#copying.set(epoch, (this.#copying.get(epoch) ?? 0) + 1)
    try {
      const { after, transactions } = output
      const of = { ...this.#origin, name, takenAt: clock.now(), stopped, output: { after, transactions } }
      const stored = await store.write(savepointOf(manifest, epoch, of))
      publish('weir:savepoint:complete', { savepoint: name, epoch, stopped, folder: stored.folder })
      return stored
    } finally {
      const others = this.#copying.get(epoch)! - 1
      if (others === 0) this.#copying.delete(epoch)
      else this.#copying.set(epoch, others)
    }
  }

  #failed(wish: Wish, thrown: unknown): void {
    const error = asWeirError(thrown, 'SAVEPOINT_FAILED').toJSON()
    wish.view = { ...wish.view, state: 'FAILED', error }
    this.#deps.publish('weir:savepoint:failed', { savepoint: wish.view.name, epoch: wish.view.epoch, error })
    const failed = [...this.#wishes.values()].filter(({ view }) => view.state === 'FAILED')
    for (const { view } of failed.slice(0, -FAILED_MAX)) this.#wishes.delete(view.name)
  }
}

export const savepointExists = (jobId: JobId, name: string): WeirError =>
  new WeirError(
    { code: 'SAVEPOINT_EXISTS', kind: 'invalid', jobId, name },
    `job ${jobId} has a savepoint "${name}" already, or is taking it: give another name, or delete it first`,
  )
