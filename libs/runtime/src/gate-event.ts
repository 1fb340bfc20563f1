/** What the gate of a stage is told, and what it hands out. */
import type { AsideRecord, AttemptId, CheckpointId, RecordBatch, StreamElement, Watermark } from '@weir/model'
import type { Capture } from './capture.ts'
import type { StreamName } from './flight.ts'

export type GateEvent =
  /** `operand`: of the operator at the head of the stage (`StageInput`). */
  | { readonly type: 'records'; readonly batch: RecordBatch; readonly operand: number }
  /** The minimum over the active channels has grown. */
  | { readonly type: 'watermark'; readonly timestamp: Watermark }
  /** No channel is active (or one is again): who comes behind need not wait for this stage's event time (or must again). */
  | { readonly type: 'idle'; readonly isIdle: boolean }
  /** Nothing behind this barrier has been handed out. `overtaken` null: all in front of it has. */
  | {
      readonly type: 'barrier'
      readonly checkpoint: CheckpointId
      readonly alignMs: number
      readonly overtaken: Capture | null
    }
  | { readonly type: 'aside'; readonly records: readonly AsideRecord[] }
  /** Every channel has ended. Barriers may still follow. */
  | { readonly type: 'end' }

export interface OvertakingGate {
  /** Bytes that a barrier may overtake here: with more it waits for its turn. */
  readonly bytesMax: number
  readonly nameOf: (channel: number) => StreamName
  /** Called when an overtaking barrier waits to be handed out. */
  readonly onOvertaken: () => void
}

export interface GateOptions {
  readonly attempt: AttemptId
  readonly restored: Watermark
  /** By channel. Absent: 0 for all. */
  readonly operands?: readonly number[]
  /** Null: every barrier waits for its turn. */
  readonly overtaking: OvertakingGate | null
  /** Of the epoch that is restored: comes before everything that arrives. */
  readonly inFlight: readonly { readonly channel: number; readonly element: StreamElement }[]
}

export type GateBarrier = GateEvent & { readonly type: 'barrier' }
