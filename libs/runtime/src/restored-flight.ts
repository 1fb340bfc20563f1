/**
 * Stored records in flight, as elements of the channels of one slice that is restored. In a job as wide as the one that
 * stored them each stream goes on where it was. In another the records are dealt out by their keys, and the event times
 * between them say nothing any more: what the records' senders have told is told again behind them.
 */
import { takesAsidesOf } from '@weir/checkpoint'
import {
  emptyOrigins,
  keyGroupOf,
  ownerOf,
  pushOrigin,
  type Origins,
  type RecordBatch,
  type StreamElement,
  type Subtask,
} from '@weir/model'
import type { StoredFlight } from './flight.ts'

export interface InFlightElement {
  /** Whose channel it is in: who sent it, or who tells on in its place at another parallelism. */
  readonly from: Subtask
  readonly input: number
  readonly element: StreamElement
}

export interface FlightTarget {
  readonly subtask: Subtask
  readonly parallelism: number
  readonly maxParallelism: number
}

/** By receiving stage, in order. What was received was sent before what was not: also the records of one key keep their order. */
export function elementsInFlight(
  flights: readonly StoredFlight[],
  target: FlightTarget,
): ReadonlyMap<number, readonly InFlightElement[]> {
  const elements = new Map<number, InFlightElement[]>()
  const inOrder = [...flights.filter(({ ref }) => !ref.hasUnsent), ...flights.filter(({ ref }) => ref.hasUnsent)]
  for (const { ref, streams } of inOrder) {
    for (const stream of streams) {
      const own = ref.parallelism === target.parallelism
      if (own && stream.to !== target.subtask) continue
      const taken = own ? stream.elements : stream.elements.flatMap((element) => ownPart(element, ref, target))
      const into = elements.get(stream.stage) ?? []
      elements.set(stream.stage, into)
      const from = (stream.from % target.parallelism) as Subtask
      for (const element of taken) into.push({ from, input: stream.input, element })
    }
  }
  return elements
}

function ownPart(element: StreamElement, ref: StoredFlight['ref'], target: FlightTarget): readonly StreamElement[] {
  switch (element.kind) {
    case 'records': {
      const batch = ownRecords(element.batch, target)
      return batch === null ? [] : [{ kind: 'records', batch }]
    }
    case 'aside':
      return takesAsidesOf(ref, target.subtask, target.parallelism) ? [element] : []
    default:
      return []
  }
}

/** Null: none of them is. */
function ownRecords(batch: RecordBatch, { subtask, parallelism, maxParallelism }: FlightTarget): RecordBatch | null {
  const { values, timestamps, origins } = batch
  const keys = batch.keys!
  const own = [...keys.keys()].filter((i) => {
    return ownerOf(keyGroupOf(keys[i]!, maxParallelism), parallelism, maxParallelism) === subtask
  })
  if (own.length === 0) return null
  const of = <T>(all: readonly T[]): T[] => own.map((i) => all[i]!)
  return {
    keys: of(keys),
    values: of(values),
    timestamps: of(timestamps),
    ...(origins && { origins: ownOrigins(origins, own) }),
  }
}

function ownOrigins(origins: Origins, own: readonly number[]): Origins {
  const kept = emptyOrigins(origins, origins.ordinals !== null)
  for (const i of own) pushOrigin(kept, origins, i)
  return kept
}
