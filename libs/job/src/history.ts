/** The last epochs of a job, for REST and people. */
import {
  LATE_SLICES_MAX,
  type Cut,
  type CutSplits,
  type LateSlice,
  type Manifest,
  type SubtaskSnapshot,
  type ToldTimes,
} from '@weir/checkpoint'
import type { CheckpointId, Subtask } from '@weir/model'
import { TaskCheckpoints } from './task-checkpoints.ts'

/** Epochs kept; older ones are forgotten. */
const HISTORY_MAX = 100

/** What happened to one epoch: for REST and people. */
export interface CheckpointView {
  readonly epoch: number
  readonly generation: number
  readonly attempt: number
  status: 'in-progress' | 'published' | 'final' | 'given-up'
  readonly triggeredAt: number
  /** To published; of a given-up one, to that. */
  durationMs: number | null
  reason: string | null
  /** At which event time, or why at none; splits, `source/split`, that were not cut there, as its manifest says. */
  cut: Cut & CutSplits
  /** Of one that timed out: what the first `LATE_SLICES_MAX` slices said they had waited for. */
  late: readonly LateSlice[]
  /** Of a published one: stored objects it names, whichever epoch wrote them. */
  bytes: number | null
  /** Of a published one: records that barriers have overtaken. Part of `bytes`. */
  inFlightBytes: number | null
  /** The longest of the slices that have acknowledged it: waiting for barriers, in the loop, and from trigger to durable. */
  alignMs: number
  syncMs: number
  asyncMs: number
}

export class CheckpointHistory {
  readonly #epochs: CheckpointView[] = []
  /** Of the newest of them, by slice. */
  readonly tasks = new TaskCheckpoints()

  /** @param triggeredAt ms since 1970 */
  triggered({ epoch, generation, attempt }: CheckpointId, cut: Cut, triggeredAt: number): void {
    const nothing = {
      ...{ durationMs: null, reason: null, late: [], cut: { ...cut, idle: [], passed: [] } },
      ...{ bytes: null, inFlightBytes: null, alignMs: 0, syncMs: 0, asyncMs: 0 },
    }
    this.#epochs.push({ epoch, generation, attempt, status: 'in-progress', triggeredAt, ...nothing })
    if (this.#epochs.length > HISTORY_MAX) this.#epochs.shift()
  }

  note(epoch: number, change: Partial<CheckpointView>): void {
    const entry = this.#of(epoch)
    if (entry) Object.assign(entry, change)
  }

  acked({ epoch }: CheckpointId, subtask: Subtask, times: ToldTimes): void {
    this.tasks.acked(epoch, subtask, times)
    const { alignMs, syncMs, asyncMs } = times
    const entry = this.#of(epoch)
    if (entry === undefined) return
    entry.alignMs = Math.max(entry.alignMs, alignMs)
    entry.syncMs = Math.max(entry.syncMs, syncMs)
    entry.asyncMs = Math.max(entry.asyncMs, asyncMs)
  }

  /** What a published epoch is made of. */
  stored(epoch: number, manifest: Manifest | null): CheckpointView | null {
    const entry = this.#of(epoch)
    if (entry === undefined || manifest === null) return null
    entry.inFlightBytes = manifest.subtasks.reduce((sum, s) => sum + bytesOf(s.inFlight ?? []), 0)
    entry.bytes = entry.inFlightBytes + manifest.subtasks.reduce((sum, s) => sum + stateBytes(s), 0)
    return entry
  }

  /** Where a published epoch was cut. */
  cut(epoch: number, manifest: Manifest | null): void {
    const entry = this.#of(epoch)
    if (entry === undefined || manifest?.cut === undefined) return
    const of = (name: keyof CutSplits): string[] => manifest.subtasks.flatMap(({ cut }) => cut?.[name] ?? [])
    entry.cut = { ...entry.cut, idle: of('idle'), passed: of('passed') }
  }

  /** What a slice had waited for in an epoch that timed out. Null: there is no such epoch, or enough is known of it. */
  late(epoch: number, late: LateSlice): CheckpointView | null {
    const entry = this.#of(epoch)
    if (entry?.status !== 'given-up' || entry.late.length >= LATE_SLICES_MAX) return null
    entry.late = [...entry.late, late]
    return entry
  }

  /** Newest first. */
  list(): readonly CheckpointView[] {
    return [...this.#epochs].reverse()
  }

  #of(epoch: number): CheckpointView | undefined {
    return this.#epochs.findLast((c) => c.epoch === epoch)
  }
}

const bytesOf = (refs: readonly { readonly bytes: number }[]): number => refs.reduce((sum, { bytes }) => sum + bytes, 0)

/** Behind a rescale several slices may name one segment: each counts what it keeps of it. */
const stateBytes = ({ segments }: SubtaskSnapshot): number =>
  (segments as readonly { readonly chain: readonly { readonly bytes: number }[] }[]).reduce(
    (sum, { chain }) => sum + bytesOf(chain),
    0,
  )
