/** The words of a lane (`transaction.ts`): what its driver is told to send and reports, what it knows. */
import type { WeirError } from '@weir/model'
import type { PartitionOffset, ProducerIdentity, Protocol } from './wire/apis.ts'

export interface Place {
  readonly topic: string
  readonly partition: number
}
export const nameOf = ({ topic, partition }: Place): string => `${topic}-${partition}`

/** Group offsets that join the transaction: the sink's sequence (PROTOCOL A10), or a source's positions. */
export interface Marker {
  readonly group: string
  readonly topic: string
  /** Number of the transaction. */
  readonly sequence: number
  readonly offsets: readonly PartitionOffset[]
}

// ---- requests -------------------------------------------------------------------------------------------------------

export type TransactionRequest =
  /** `current` null: blank, for recovery only (PROTOCOL A12). */
  | { readonly api: 'InitProducerId'; readonly current: ProducerIdentity | null }
  | { readonly api: 'AddPartitionsToTxn'; readonly identity: ProducerIdentity; readonly places: readonly Place[] }
  | {
      readonly api: 'Produce'
      readonly identity: ProducerIdentity
      readonly place: Place
      /** The driver's name for the bytes. */
      readonly batch: number
      readonly baseSequence: number
    }
  | { readonly api: 'AddOffsetsToTxn'; readonly identity: ProducerIdentity; readonly marker: Marker }
  | { readonly api: 'TxnOffsetCommit'; readonly identity: ProducerIdentity; readonly marker: Marker }
  | { readonly api: 'EndTxn'; readonly identity: ProducerIdentity; readonly commit: boolean }
  | { readonly api: 'DescribeTransactions'; readonly identity: ProducerIdentity }

export interface Answer {
  readonly errorCode: number
  /** InitProducerId, and EndTxn of v2. */
  readonly identity?: ProducerIdentity
  /** Produce: offset of the batch's first record. */
  readonly baseOffset?: bigint
  /** DescribeTransactions, in words. */
  readonly description?: string
}

/** How often the same request was sent without a final answer, and for how long. */
export interface Tried {
  readonly times: number
  readonly forMs: number
}
export const UNTRIED: Tried = { times: 0, forMs: 0 }

// ---- states ---------------------------------------------------------------------------------------------------------

export interface WaitingBatch {
  readonly batch: number
  readonly records: number
}
export interface SentBatch {
  readonly batch: number
  /** 0, 1, 2 … in its partition and transaction. */
  readonly ordinal: number
}

export interface PartitionState {
  readonly place: Place
  /** v1: does the coordinator know that the partition is in the transaction? */
  readonly membership: 'outside' | 'asked' | 'member'
  readonly nextSequence: number
  readonly nextOrdinal: number
  readonly waiting: readonly WaitingBatch[]
  readonly inFlight: readonly SentBatch[]
  /** Where the transaction begins in the partition; until then one batch is in flight. */
  readonly firstOffset: bigint | null
}
export type Partitions = ReadonlyMap<string, PartitionState>

/** Of a transaction that is written to. */
export interface Contents {
  readonly partitions: Partitions
  /** `asked`: nothing is appended any more; `done`: all of it is in the log. */
  readonly flush: 'none' | 'asked' | 'done'
  /** Null: nobody has asked for it. */
  readonly marking: { readonly marker: Marker; readonly step: 'waits' | 'sent' | 'joined' } | null
}

export type LanePhase =
  | { readonly phase: 'uninitialised' }
  /** Blank: for recovery only. */
  | { readonly phase: 'initialising' }
  /** v1: the epoch of the last transaction is given up for the next one. */
  | { readonly phase: 'renewing'; readonly identity: ProducerIdentity }
  /** Under this epoch there was no transaction yet. `last`: the committed one's, whose control records may be on their way. */
  | { readonly phase: 'ready'; readonly identity: ProducerIdentity; readonly last: ProducerIdentity | null }
  /** Renewing, and batches wait already. */
  | ({ readonly phase: 'opening'; readonly identity: ProducerIdentity } & Contents)
  | ({ readonly phase: 'open'; readonly identity: ProducerIdentity } & Contents)
  /** `restored`: from a stored handle. Recovery takes the id over next, and nothing may follow that: no renewal. */
  | {
      readonly phase: 'prepared'
      readonly identity: ProducerIdentity
      readonly sequence: number
      readonly restored: boolean
    }
  | {
      readonly phase: 'ending'
      readonly identity: ProducerIdentity
      readonly sequence: number
      readonly restored: boolean
    }
  /** `accepted`: EndTxn was answered; sent again, it is put off until the control records are in the log. */
  | { readonly phase: 'aborting'; readonly identity: ProducerIdentity; readonly accepted: boolean }
  /** As `aborting`, behind a commit: who closes the lane may say that its output is there. */
  | { readonly phase: 'settling'; readonly identity: ProducerIdentity }
  | { readonly phase: 'over' }
  /** The commit was refused or not answered: the coordinator is asked, so that people get the facts. It decides nothing. */
  | {
      readonly phase: 'doubtful'
      readonly identity: ProducerIdentity
      readonly sequence: number
      readonly error: string
      readonly answered: boolean
    }
  /** `identity` null: nothing to abort, or not to be aborted, since its commit was commanded. */
  | { readonly phase: 'broken'; readonly identity: ProducerIdentity | null }
  | { readonly phase: 'fenced'; readonly identity: ProducerIdentity | null }

export type LaneState = LanePhase & { readonly transactionalId: string; readonly protocol: Protocol }
export type In<P extends LanePhase['phase']> = Extract<LaneState, { readonly phase: P }>

export type LaneEvent =
  /** Recovery: take the id over, whoever has it (PROTOCOL A11). */
  | { readonly type: 'fence' }
  | { readonly type: 'append'; readonly place: Place; readonly batch: number; readonly records: number }
  /** Asks for `flushed`; nothing may be appended until it came. */
  | { readonly type: 'flush' }
  /** After `flush`, whose answer need not be there yet; without a flush and a batch there is no transaction: `empty`. */
  | { readonly type: 'mark'; readonly marker: Marker }
  | { readonly type: 'commit' }
  /** The end of the lane. What is open or prepared is aborted; a commanded commit is never taken back. */
  | { readonly type: 'abort' }
  | {
      readonly type: 'answered'
      readonly request: TransactionRequest
      readonly answer: Answer
      readonly tried: Tried
    }
  /** Connection lost, or no answer in time. */
  | {
      readonly type: 'unanswered'
      readonly request: TransactionRequest
      readonly reason: string
      readonly tried: Tried
    }
  /** A repetition that is due came much too late: this process has stood still meanwhile. */
  | { readonly type: 'overslept'; readonly request: TransactionRequest; readonly byMs: number }

export type LaneEffect =
  /** `tried.times` > 0: a repetition; wait first, and look up leader or coordinator again. */
  | { readonly type: 'send'; readonly request: TransactionRequest; readonly tried: Tried }
  /** The bytes of the batch are not needed any more. */
  | { readonly type: 'acknowledged'; readonly batch: number }
  | { readonly type: 'initialised' }
  /** Every batch is in the log. `firstOffsets`: `topic-partition` → decimal offset. */
  | { readonly type: 'flushed'; readonly firstOffsets: Readonly<Record<string, string>> }
  | { readonly type: 'prepared' }
  | { readonly type: 'empty' }
  | { readonly type: 'committed' }
  | { readonly type: 'aborted' }
  | { readonly type: 'failed'; readonly error: WeirError }

export interface LaneStep {
  readonly state: LaneState
  readonly effects: readonly LaneEffect[]
}
