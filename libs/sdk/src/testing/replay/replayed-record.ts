/** What became of a replayed record, as people and tools look at it. */
import type { Decode } from '@weir/dataflow'
import type { Key, TopicRecord, WeirError } from '@weir/model'
import { lettersOf, type DeadLetter } from '../dead-letters.ts'
import { outputsOf } from '../outputs.ts'
import type { TouchedRow } from './recorded-states.ts'
import type { Step } from './watched-job.ts'

export interface ReplayedOutput {
  /** Uid of the sink that would have written it. */
  readonly sink: string
  readonly topic: string
  readonly key: string | null
  /** As the sink's codec reads it, else JSON, else text. */
  readonly value: unknown
  /** Event time, ms since 1970. */
  readonly timestamp: number
}
/** `operator.name` of a side output that nobody takes. */
export interface ReplayedSide extends Omit<ReplayedOutput, 'sink' | 'topic'> {
  readonly side: string
}
export interface ReplayedTimer {
  readonly operatorUid: string
  readonly kind: 'event' | 'processing'
  readonly key: Key
  readonly name: string
  /** Ms since 1970. */
  readonly timeMs: number
  /** `gone`: it has fired, or was deleted. `seen`: it was there and is there. */
  readonly change: 'set' | 'gone' | 'seen'
}

export interface ReplayedRecord {
  /** Functions of the job that were called, in their order. */
  readonly steps: readonly Step[]
  /** Calls beyond those. */
  readonly stepsLeft: number
  readonly outputs: readonly ReplayedOutput[]
  readonly sides: readonly ReplayedSide[]
  readonly deadLetters: readonly DeadLetter[]
  /** Rows that were read or written. */
  readonly state: readonly TouchedRow[]
  readonly timers: readonly ReplayedTimer[]
  /** Calls of `asyncMap` that were not made; the record ended there. */
  readonly suppressed: readonly { readonly operator: string; readonly value: unknown }[]
  /** Of a record that fails the job; null: it went through. */
  readonly failure: WeirError | null
}

/** What one sink was given. */
export interface Written {
  readonly uid: string
  readonly topic: string
  readonly decode: Decode | null
  readonly records: readonly TopicRecord[]
  readonly letters: readonly TopicRecord[]
}

export const outputsIn = (written: readonly Written[]): readonly ReplayedOutput[] =>
  written.flatMap(({ uid: sink, topic, decode, records }) =>
    records.map((record) => ({ sink, topic, ...shown(record, decode), timestamp: record.timestamp })),
  )

export const lettersIn = (written: readonly Written[]): readonly DeadLetter[] =>
  lettersOf(written.flatMap(({ letters }) => letters))

function shown(record: TopicRecord, decode: Decode | null): Pick<ReplayedOutput, 'key' | 'value'> {
  try {
    return outputsOf([record], decode)[0]!
  } catch {
    const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString())
    return { key: text(record.key), value: text(record.value) }
  }
}

const TIMERS = { '@event[]': 'event', '@processing[]': 'processing' } as const

/** Timers are rows, too. */
export function rowsAndTimers(rows: readonly TouchedRow[]): Pick<ReplayedRecord, 'state' | 'timers'> {
  const kindOf = ({ name }: TouchedRow): ReplayedTimer['kind'] | null =>
    (TIMERS as Readonly<Record<string, ReplayedTimer['kind']>>)[name] ?? null
  return {
    state: rows.filter((row) => kindOf(row) === null),
    timers: rows.flatMap((row) => {
      const kind = kindOf(row)
      const { operatorUid, key, before, after } = row
      if (kind === null || (before === undefined && after === undefined)) return []
      const [time, name] = partsOf(String(row.entry))
      const change = before === undefined ? 'set' : after === undefined ? 'gone' : 'seen'
      return [{ operatorUid, kind, key, name, timeMs: Number(time), change }]
    }),
  }
}

/** `time|name` */
function partsOf(entry: string): readonly [time: string, name: string] {
  const at = entry.indexOf('|')
  return [entry.slice(0, at), entry.slice(at + 1)]
}
