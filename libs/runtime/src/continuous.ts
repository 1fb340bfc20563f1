/** The continuous scope in a slice: where its source goes on, and how far it has come. */
import {
  resumeSplit,
  type CommittedOffset,
  type ContinuousSink,
  type LogPosition,
  type LogSourceState,
  type RestoreContext,
  type SourceReader,
  type SourceState,
  type SplitBegin,
  type SplitProgress,
  type SplitResume,
} from '@weir/dataflow'
import type { Generation, JobId } from '@weir/model'

export interface ContinuousStart {
  readonly jobId: JobId
  readonly generation: Generation
  readonly topic: string
  readonly reader: SourceReader
  readonly sink: ContinuousSink
  /** What the sink found behind its fence. */
  readonly committed: ReadonlyMap<number, CommittedOffset>
  /** From the checkpoint; null: there is none. */
  readonly restored: LogSourceState | null
  /** Of that checkpoint. */
  readonly context: RestoreContext | null
}

/**
 * Decides per split, opens the source at c and tells the sink where outputs begin again. Throws as `resumeSplit`.
 * @returns per split of the source.
 */
export async function startContinuous(of: ContinuousStart): Promise<ReadonlyMap<number, SplitBegin>> {
  const { jobId, generation, topic, reader, sink, committed, restored, context } = of
  const stored = restored?.partitions ?? {}
  const resumes = new Map<number, SplitResume>()
  const from: Record<string, LogPosition> = {}
  for (const split of new Set([...committed.keys(), ...Object.keys(stored).map(Number)])) {
    const resume = resumeSplit({
      ...{ job: jobId, generation, group: sink.group, topic, split },
      restored: stored[split] ?? null,
      takenOver: restored?.takenOver === true,
      committed: committed.get(split) ?? null,
    })
    resumes.set(split, resume)
    if (resume.from !== undefined) from[split] = resume.from
  }
  // Null is a job that begins. Behind that every split that has no position came later, and is read from its beginning.
  const isFirst = restored === null && committed.size === 0
  const splits = await reader.open(isFirst ? null : { ...restored, partitions: from }, context)
  const opened = positionsOf(reader.snapshot())
  const begins = new Map<number, SplitBegin>()
  for (const split of splits) {
    const resume = resumes.get(split) ?? { kind: 'begin' }
    begins.set(split, { start: resume.kind === 'replay' ? resume.mark.start : opened[split]!, resume })
  }
  await sink.begin(begins)
  return begins
}

/** @param ended splits whose end is behind everything written. */
export const progressOf = (state: SourceState, ended: (split: number) => boolean): SplitProgress[] =>
  Object.entries(positionsOf(state)).map(([split, { offset }]) => ({
    split: Number(split),
    offset: Number(offset),
    ended: ended(Number(split)),
  }))

const positionsOf = (state: SourceState): LogSourceState['partitions'] =>
  (state as unknown as LogSourceState).partitions
