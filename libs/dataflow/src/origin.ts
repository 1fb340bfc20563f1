/** Where a record was read, as user code and errors name it. */
import { NOWHERE, sourceOf, splitOf, type OperatorUid, type Origins, type RecordBatch } from '@weir/model'
import type { GraphNode } from './graph.ts'

export interface Origin {
  /** Uid of the source. */
  readonly source: OperatorUid
  /** Null: the source reads no topic. */
  readonly topic: string | null
  readonly partition: number
  readonly offset: number
  /** Which of the outputs of a flatMap, e.g. `2`, behind a second one `2.0`; null before the first. */
  readonly ordinal: string | null
  /** All of it in one text, the same whenever the record is read: a key to be idempotent by. `orders/3/1042`, `orders/3/1042#2`. */
  readonly id: string
  /** Of a replayed dead letter: `id` of its first try. Null: it is none. Absent: nobody asked (`Plan.retries`). */
  readonly retryOf?: string | null
}

export type OriginNames = (place: number) => Pick<Origin, 'source' | 'topic' | 'partition'>

export const originNames =
  (nodes: readonly GraphNode[]): OriginNames =>
  (place) => {
    const node = nodes[sourceOf(place)]!
    const topic = node.kind === 'source' ? node.descriptor['topic'] : null
    return { source: node.uid, topic: typeof topic === 'string' ? topic : null, partition: splitOf(place) }
  }

/** Null: the record was made by the job (the result of a window), or its batch does not say. */
export function originAt(
  { origins }: Pick<RecordBatch, 'origins'>,
  index: number,
  names: OriginNames | undefined,
): Origin | null {
  if (origins === undefined || names === undefined || origins.places[index] === NOWHERE) return null
  const readFrom = names(origins.places[index]!)
  const { source, topic, partition } = readFrom
  const offset = origins.offsets[index]!
  const ordinal = origins.ordinals === null ? null : origins.ordinals[index]!
  const id = `${readAt(readFrom)}/${offset}${ordinalText(origins.ordinals, index)}`
  const origin = { source, topic, partition, offset, ordinal, id }
  return origins.retries === undefined ? origin : { ...origin, retryOf: origins.retries[index]! }
}

/** What the ids of a place begin with. */
export const readAt = ({ source, topic, partition }: ReturnType<OriginNames>): string =>
  `${topic ?? source}/${partition}`

/** What an id ends with. */
export function ordinalText(ordinals: Origins['ordinals'], index: number): string {
  const ordinal = ordinals === null ? null : ordinals[index]!
  return ordinal === null ? '' : `#${ordinal}`
}
