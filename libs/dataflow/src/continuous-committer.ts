/**
 * Drives the machine of the continuous scope (`continuous-commit.ts`) for one slice: keeps how far each split is read and
 * committed, wakes it, and has its transactions committed by whoever keeps the log.
 */
import { asWeirError, type AttemptId, type CheckpointId, type Clock, type JobId, type WeirError } from '@weir/model'
import {
  continuousCommit,
  stepContinuousCommit,
  type ContinuousCommitEffect,
  type ContinuousCommitEvent,
  type ContinuousCommitState,
} from './continuous-commit.ts'
import { encodeMark } from './continuous-resume.ts'
import type { LogPosition, SplitBegin, SplitProgress, TransactionListener } from './ports.ts'

/** A committed offset is written again at the latest after this: brokers forget offsets of quiet groups after days. */
const OFFSET_REFRESH_MS = 3_600_000

/** One offset of a transaction. */
export interface SplitCommit {
  readonly split: number
  readonly offset: number
  readonly metadata: string
}

export interface ContinuousCommitterOptions {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly intervalMs: number
}

export interface ContinuousCommitterDeps {
  readonly clock: Clock
  /**
   * Flushes everything written under `sequence`, adds the offsets and ends the transaction. Called once per sequence, in
   * order, never before the one before has resolved. A rejection (also "unknown") ends the attempt.
   */
  commit(sequence: number, offsets: readonly SplitCommit[]): Promise<void>
}

interface Split {
  readonly start: LogPosition
  reached: { offset: number; ended: boolean }
  committed: { offset: number; ended: boolean; atMs: number }
}

export class ContinuousCommitter {
  readonly #options: ContinuousCommitterOptions
  readonly #deps: ContinuousCommitterDeps
  readonly #splits = new Map<number, Split>()
  readonly #barriers = new Map<CheckpointId, { resolve: () => void; reject: (error: WeirError) => void }>()
  #state: ContinuousCommitState
  #failure: WeirError | null = null
  #failed: (error: WeirError) => void = () => {}
  #listener: TransactionListener | null = null
  #drained: (whole: boolean) => void = () => {}
  #cancelWake: () => void = () => {}

  constructor(options: ContinuousCommitterOptions, deps: ContinuousCommitterDeps) {
    this.#options = options
    this.#deps = deps
    this.#state = continuousCommit(options.intervalMs, 0)
  }

  /** Of the transaction that is written to now. */
  get sequence(): number {
    return this.#state.sequence
  }

  onFailure(call: (error: WeirError) => void): void {
    this.#failed = call
  }

  onTransaction(listener: TransactionListener): void {
    this.#listener = listener
  }

  async begin(splits: ReadonlyMap<number, SplitBegin>): Promise<void> {
    const atMs = this.#deps.clock.monotonic()
    let ended = 0
    for (const [split, { start, resume }] of splits) {
      const known = resume.kind === 'replay' ? { offset: resume.until, ended: resume.mark.ended } : null
      const at = known ?? { offset: Number(start.offset), ended: false }
      this.#splits.set(split, { start, reached: at, committed: { ...at, atMs } })
      if (resume.kind === 'replay') ended = Math.max(ended, resume.mark.seq)
    }
    const beginning = [...splits].filter(([, { resume }]) => resume.kind === 'begin').map(([split]) => split)
    if (beginning.length > 0) await this.#deps.commit(++ended, this.#offsets(beginning, ended))
    this.#state = continuousCommit(this.#options.intervalMs, ended)
  }

  wrote(): void {
    if (this.#state.open !== 'torn') this.#step({ type: 'wrote' })
  }

  advance(progress: readonly SplitProgress[]): void {
    let moved = this.#state.open === 'torn'
    for (const { split, offset, ended } of progress) {
      const of = this.#splits.get(split)!
      // Below `reached` it is a replay: that is committed already.
      const further = offset > of.reached.offset || (ended && !of.reached.ended && offset === of.reached.offset)
      if (!further) continue
      of.reached = { offset, ended }
      moved = true
    }
    if (moved) this.#step({ type: 'advanced', now: this.#deps.clock.monotonic() })
  }

  barrier(checkpoint: CheckpointId, progress: readonly SplitProgress[]): Promise<void> {
    this.advance(progress)
    const now = this.#deps.clock.monotonic()
    if ([...this.#splits.values()].some((of) => now - of.committed.atMs > OFFSET_REFRESH_MS)) {
      this.#step({ type: 'advanced', now })
    }
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure)
      this.#barriers.set(checkpoint, { resolve, reject })
      this.#step({ type: 'barrier', checkpoint, now })
    })
  }

  /** Commits what is whole. @returns false when something is left that may not be committed. */
  drain(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#drained = resolve
      this.#step({ type: 'drain', now: this.#deps.clock.monotonic() })
    })
  }

  close(): void {
    this.#cancelWake()
    this.#step({ type: 'failed' })
  }

  #step(event: ContinuousCommitEvent): void {
    const { state, effects } = stepContinuousCommit(this.#state, event)
    this.#state = state
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: ContinuousCommitEffect): void {
    switch (effect.type) {
      case 'wake':
        this.#cancelWake = this.#deps.clock.after(effect.afterMs, () =>
          this.#step({ type: 'woken', now: this.#deps.clock.monotonic() }),
        )
        return
      case 'seal':
        return this.#seal(effect.sequence)
      case 'covered':
        this.#barriers.get(effect.checkpoint)!.resolve()
        this.#barriers.delete(effect.checkpoint)
        return
      case 'drained':
        return this.#drained(effect.whole)
    }
  }

  #seal(sequence: number): void {
    const { clock, commit } = this.#deps
    const now = clock.monotonic()
    const due = [...this.#splits].filter(
      ([, { reached, committed }]) =>
        reached.offset !== committed.offset ||
        reached.ended !== committed.ended ||
        now - committed.atMs > OFFSET_REFRESH_MS,
    )
    this.#listener?.sealed(sequence)
    const sealed = due.map(([, of]) => ({ of, at: of.reached }))
    commit(
      sequence,
      this.#offsets(
        due.map(([split]) => split),
        sequence,
      ),
    ).then(
      () => {
        const atMs = clock.monotonic()
        for (const { of, at } of sealed) of.committed = { ...at, atMs }
        this.#listener?.committed(sequence)
        this.#step({ type: 'ended', now: atMs })
      },
      (thrown: unknown) => this.#fail(asWeirError(thrown, 'CONTINUOUS_COMMIT_FAILED')),
    )
  }

  #offsets(splits: readonly number[], seq: number): SplitCommit[] {
    const { jobId, attempt } = this.#options
    return splits.map((split) => {
      const { start, reached } = this.#splits.get(split)!
      const { offset, ended } = reached
      const mark = { job: jobId, generation: attempt.generation, seq, start, ended }
      return { split, offset, metadata: encodeMark(mark) }
    })
  }

  #fail(error: WeirError): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.#cancelWake()
    const draining = this.#state.draining
    this.#step({ type: 'failed' })
    for (const { reject } of this.#barriers.values()) reject(error)
    this.#barriers.clear()
    if (draining) this.#drained(false)
    this.#failed(error)
  }
}
