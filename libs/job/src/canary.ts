/** What a canary of a job is compared by: how far the two have come, and where the output of a savepoint lies. */
import type { PublishedEpoch, SavepointOutput } from '@weir/checkpoint'
import type { CanarySettings } from '@weir/dataflow'
import type { JobId } from '@weir/model'
import type { Failure } from './state.ts'

/** By source and split: the next one to be read, decimal. */
export type SourcePositions = Readonly<Record<string, Readonly<Record<string, string>>>>

/** A published epoch. */
export interface ReadUpTo {
  readonly epoch: number
  readonly positions: SourcePositions
  /** Records in front of these positions are stored with it instead of processed: their output is not there yet. */
  readonly inFlight: boolean
}

export interface CanarySide {
  readonly jobId: JobId
  readonly state: string
  readonly finalEpoch: number
  /** Of its newest published epoch; null: there is none, or its manifest cannot be read. */
  readonly read: ReadUpTo | null
  readonly error: Failure | null
}

export interface CanaryView {
  readonly live: CanarySide
  /** The newest one of the job, whether it runs or not; null: there never was one. */
  readonly canary: (CanarySide & { readonly settings: CanarySettings }) | null
  /** The one that was asked for; null: none was, or it is not complete. */
  readonly savepoint: { readonly name: string; readonly epoch: number; readonly output: SavepointOutput | null } | null
}

interface Partitioned {
  readonly partitions?: Readonly<Record<string, { readonly offset: string }>>
}

export function readUpTo(published: PublishedEpoch | null): ReadUpTo | null {
  if (published === null || published.manifest === null) return null
  const { subtasks, epoch } = published.manifest
  const positions: Record<string, Record<string, string>> = {}
  for (const { sources } of subtasks) {
    for (const [uid, state] of Object.entries(sources)) {
      const of = (positions[uid] ??= {})
      for (const [split, { offset }] of Object.entries((state as Partitioned).partitions ?? {})) of[split] = offset
    }
  }
  return { epoch, positions, inFlight: subtasks.some(({ inFlight = [] }) => inFlight.length > 0) }
}

/** Everything in front of `target` is in front of `positions`. */
export const hasReached = (positions: SourcePositions, target: SourcePositions): boolean =>
  Object.entries(target).every(([source, splits]) =>
    Object.entries(splits).every(([split, offset]) => {
      const at = positions[source]?.[split]
      return at !== undefined && BigInt(at) >= BigInt(offset)
    }),
  )
