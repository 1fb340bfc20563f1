/** What a slice tells of its work: where the time of its stages goes, what its operators pass on, how old what it commits is. */
import {
  LATENCY_BOUNDS_MS,
  type Input,
  type LatencyCounts,
  type OperatorRecords,
  type SliceMetrics,
} from '@weir/dataflow'
import type { OperatorUid, RecordBatch } from '@weir/model'
import type { SourceRun, StageRun } from './stage-run.ts'

/** Counted batch by batch. A chain per split has one for each. */
export interface RecordCounts {
  readonly uid: OperatorUid
  recordsIn: number
  recordsOut: number
}

export function countsOf(run: Pick<StageRun, 'records'>, uid: OperatorUid): RecordCounts {
  const counts = { uid, recordsIn: 0, recordsOut: 0 }
  run.records.push(counts)
  return counts
}

/** A receiver may work in the arrays of a batch: it is counted before it is handed on. */
export const countingIn = <T extends Pick<Input, 'emit'>>(counts: RecordCounts, input: T): T => ({
  ...input,
  emit: (batch: RecordBatch) => {
    counts.recordsIn += batch.values.length
    input.emit(batch)
  },
})
export const countingOut = (counts: RecordCounts, input: Input): Input => ({
  ...input,
  emit: (batch: RecordBatch) => {
    counts.recordsOut += batch.values.length
    input.emit(batch)
  },
})

type Measured = Pick<StageRun, 'clock' | 'records'> & {
  readonly source: Pick<SourceRun, 'node' | 'read' | 'emitted' | 'latency'> | null
}

/** @param headOf operator at the head of the stage with this index */
export function metricsOf(
  stages: readonly Measured[],
  headOf: (stage: number) => OperatorUid,
  nowMs: number,
): SliceMetrics {
  const latency = latencyOf(stages)
  return {
    stages: stages.flatMap(({ clock }, index) => {
      const time = clock.take(nowMs)
      return time === null ? [] : [{ stage: headOf(index), ...time }]
    }),
    operators: operatorsOf(stages),
    ...(latency && { latency }),
  }
}

function operatorsOf(stages: readonly Measured[]): OperatorRecords[] {
  const totals = new Map<OperatorUid, OperatorRecords>()
  const add = (operator: OperatorUid, recordsIn: number, recordsOut: number): void => {
    const { recordsIn: moreIn = 0, recordsOut: moreOut = 0 } = totals.get(operator) ?? {}
    totals.set(operator, { operator, recordsIn: recordsIn + moreIn, recordsOut: recordsOut + moreOut })
  }
  for (const { source, records } of stages) {
    if (source !== null) add(source.node.uid, source.read, source.emitted)
    for (const { uid, recordsIn, recordsOut } of records) add(uid, recordsIn, recordsOut)
  }
  return [...totals.values()]
}

function latencyOf(stages: readonly Measured[]): LatencyCounts | undefined {
  const taken = stages.flatMap(({ source }) => source?.latency.take() ?? [])
  if (taken.length === 0) return undefined
  return {
    sumMs: taken.reduce((sum, of) => sum + of.sumMs, 0),
    counts: Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, (_, i) =>
      taken.reduce((sum, { counts }) => sum + counts[i]!, 0),
    ),
  }
}
