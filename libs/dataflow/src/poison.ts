/**
 * What a broker refuses although it was checked before (PROTOCOL B7). Such a record makes its transaction one that can only
 * be aborted, so its dead letter cannot travel in it: the attempt restarts, and the next one knows.
 *
 * ```
 * batch refused ──▶ its records are suspects ──restart──▶ each travels alone ──▶ one is refused ──restart──▶ poisoned:
 *                                                                                     it goes aside before it is sent
 * ```
 * The job-manager learns from the failures of one job and tells every attempt. A leader that dies forgets it, and the
 * same input teaches the next one the same: nothing depends on it but the number of restarts.
 */
import type { ErrorKind, OperatorUid, RecordBatch } from '@weir/model'

/** A record as it reached a sink, by where it was read. JSON. */
export interface SinkOrigin {
  readonly sink: string
  readonly place: number
  readonly offset: number
  readonly ordinal: string | null
}

/** JSON. */
export interface Poison {
  /** Of the batch that was refused last. */
  readonly suspects: readonly SinkOrigin[]
  readonly poisoned: readonly SinkOrigin[]
}

export const NO_POISON: Poison = { suspects: [], poisoned: [] }
/** Records of one batch where suspects may have to be named. */
export const SUSPECTS_MAX = 1_000
/** A topic that refuses more is not one with a few bad records: the restarts run out. */
export const POISONED_MAX = 1_000
export const RECORDS_REFUSED = 'RECORDS_REFUSED'

/** What a failure teaches. `facts.suspects` are the records of the refused batch; a single one is proven. */
export function learned(
  known: Poison,
  failure: { readonly code: string; readonly kind: ErrorKind; readonly facts: Readonly<Record<string, unknown>> },
): Poison {
  const suspects = failure.code === RECORDS_REFUSED ? (failure.facts['suspects'] as readonly SinkOrigin[]) : []
  const [first, second] = suspects
  if (first === undefined) return known
  if (second !== undefined) return { ...known, suspects }
  if (known.poisoned.length >= POISONED_MAX || known.poisoned.some((one) => nameOf(one) === nameOf(first))) return known
  return { ...known, poisoned: [...known.poisoned, first] }
}

const nameOf = ({ place, offset, ordinal }: Omit<SinkOrigin, 'sink'>): string => `${place}/${offset}/${ordinal ?? ''}`

/** What is known of the records of one sink. */
export class KnownPoison {
  readonly #sink: string
  readonly #known = new Map<string, 'suspect' | 'poisoned'>()

  constructor(sink: OperatorUid, { suspects, poisoned }: Poison) {
    this.#sink = sink
    for (const one of suspects) if (one.sink === sink) this.#known.set(nameOf(one), 'suspect')
    for (const one of poisoned) if (one.sink === sink) this.#known.set(nameOf(one), 'poisoned')
  }

  get empty(): boolean {
    return this.#known.size === 0
  }

  of(batch: RecordBatch, index: number): 'suspect' | 'poisoned' | undefined {
    const origin = this.originOf(batch, index)
    return origin === null ? undefined : this.#known.get(nameOf(origin))
  }

  /** Null: the job has made the record; it cannot be known again. */
  originOf({ origins }: RecordBatch, index: number): SinkOrigin | null {
    if (origins === undefined) return null
    const ordinal = origins.ordinals === null ? null : origins.ordinals[index]!
    return { sink: this.#sink, place: origins.places[index]!, offset: origins.offsets[index]!, ordinal }
  }
}
