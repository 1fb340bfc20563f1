/**
 * Outputs of a job against those of its canary. Per topic and key, both are sequences; they are brought in line as a diff does, within
 * a window. Pure: what was read goes in, on either side and in any interleaving, counts come out, and they depend on the two
 * sequences alone, not on who was read first.
 *
 * ```
 *   live    a  b  c  d          equal  a, b     different  (c, x)
 *   shadow  a  b  x  d  e       equal  d        extra  e
 * ```
 *
 * - `missing`, `extra`: no partner on the other side; `different`: a partner with another value
 * - `undecided`: the last ones of the live side that the shadow need not have come to yet (`Output.tail`)
 * - records without a key have no order: they are counted, as a bag
 *
 * Never in favour of the canary: a bad alignment, or memory that has run out, counts more errors than there are, not fewer.
 */
import { inShare } from './share.ts'

export type Side = 'live' | 'shadow'

export interface Output {
  readonly topic: string
  /** Null: it has none. Text that stands for the bytes: the same text, the same bytes. */
  readonly key: string | null
  readonly value: string | null
  /** Its partner may not be written yet. */
  readonly tail?: boolean
}

export type DifferenceKind = 'different' | 'missing' | 'extra'
export interface Difference {
  readonly kind: DifferenceKind
  readonly topic: string
  readonly key: string | null
  /** Undefined: there is none. */
  readonly live: string | null | undefined
  readonly shadow: string | null | undefined
}

export interface Comparison {
  readonly equal: number
  readonly different: number
  readonly missing: number
  readonly extra: number
  readonly undecided: number
  /** Of the errors: decided before the other side was read to its end, since memory had run out. */
  readonly forced: number
  readonly samples: readonly Difference[]
}

export interface CompareOptions {
  /** Keys outside of it are passed over; records without a key never are. */
  readonly share: number
  /** Records of a key that are looked at to find where both sides agree again. */
  readonly windowRecords?: number
  /** Held because they wait for the other side. */
  readonly pendingBytesMax?: number
}

const WINDOW_RECORDS = 16
const PENDING_BYTES_MAX = 64 << 20
const SAMPLES_MAX = 20
/** What an entry costs beside its text. */
const ENTRY_BYTES = 100

interface Entry {
  readonly value: string | null
  readonly tail: boolean
  readonly bytes: number
}

/** One key of one topic. */
interface Lane {
  readonly topic: string
  readonly key: string
  readonly live: Entry[]
  readonly shadow: Entry[]
}

/** Records without a key that are the same. */
interface Heap {
  readonly topic: string
  readonly value: string | null
  readonly bytes: number
  /** Above 0: so many more on the live side, below: on the shadow's. */
  surplus: number
  /** Live ones whose partner may not be written yet. */
  tail: number
}

export class Comparer {
  readonly #share: number
  readonly #window: number
  readonly #bytesMax: number
  /** In the order in which they began to wait. Only lanes and heaps in which something waits. */
  readonly #lanes = new Map<string, Lane>()
  readonly #heaps = new Map<string, Heap>()
  readonly #pending = { live: 0, shadow: 0 }
  readonly #counts = { equal: 0, different: 0, missing: 0, extra: 0, undecided: 0, forced: 0 }
  readonly #samples: Difference[] = []

  constructor({ share, windowRecords = WINDOW_RECORDS, pendingBytesMax = PENDING_BYTES_MAX }: CompareOptions) {
    this.#share = share
    this.#window = windowRecords
    this.#bytesMax = pendingBytesMax
  }

  /** Bytes that wait for the other side: whoever reads goes on with the side that has less. */
  get pending(): Readonly<Record<Side, number>> {
    return this.#pending
  }

  saw(side: Side, output: Output): void {
    const { topic, key } = output
    if (key === null) this.#heap(side, output)
    else if (inShare(key, this.#share)) this.#lane(side, { ...output, key }, topic)
    while (this.#pending.live + this.#pending.shadow > this.#bytesMax) this.#relieve()
  }

  /** Both sides of these keys were read to their ends: nothing more of them comes. */
  flush(): void {
    for (const lane of this.#lanes.values()) this.#end(lane)
    this.#lanes.clear()
  }

  /** Everything was read. */
  end(): Comparison {
    this.flush()
    for (const [name, heap] of this.#heaps) {
      const { topic, value, tail, surplus } = heap
      this.#forget(name, heap)
      const late = Math.min(tail, Math.max(0, -surplus))
      this.#counts.equal += late
      this.#counts.undecided += tail - late
      const of = { topic, key: null, value }
      for (let n = surplus; n > 0; n--) this.#error({ ...of, kind: 'missing' })
      for (let n = surplus + late; n < 0; n++) this.#error({ ...of, kind: 'extra' })
    }
    return { ...this.#counts, samples: this.#samples }
  }

  // ---- with a key ---------------------------------------------------------------------------------------------------

  #lane(side: Side, { key, value, tail = false }: Output & { readonly key: string }, topic: string): void {
    const name = `${topic}\0${key}`
    let lane = this.#lanes.get(name)
    if (lane === undefined) this.#lanes.set(name, (lane = { topic, key, live: [], shadow: [] }))
    const bytes = ENTRY_BYTES + key.length + (value?.length ?? 0)
    lane[side].push({ value, tail, bytes })
    this.#pending[side] += bytes
    this.#settle(lane)
    if (lane.live.length === 0 && lane.shadow.length === 0) this.#lanes.delete(name)
  }

  /** As far as it can be told from what has come: a window that is full on both sides holds all it will ever be judged by. */
  #settle(lane: Lane): void {
    const { live, shadow } = lane
    for (;;) {
      while (live.length > 0 && shadow.length > 0 && live[0]!.value === shadow[0]!.value) {
        this.#take(lane, 'live')
        this.#take(lane, 'shadow')
        this.#counts.equal++
      }
      if (live.length < this.#window || shadow.length < this.#window) return
      this.#align(lane)
    }
  }

  /** Over the place where both heads differ, to the nearest one at which they agree again. */
  #align(lane: Lane): void {
    const [i, j] = this.#meeting(lane)
    for (let n = 0; n < Math.min(i, j); n++) this.#different(lane)
    for (let n = j; n < i; n++) this.#alone(lane, 'live')
    for (let n = i; n < j; n++) this.#alone(lane, 'shadow')
  }

  #meeting({ live, shadow }: Lane): readonly [number, number] {
    const [m, n] = [Math.min(live.length, this.#window), Math.min(shadow.length, this.#window)]
    for (let errors = 1; errors < Math.max(m, n); errors++) {
      // One side alone first: what is left out or put in is one error, and moves all that is behind it.
      for (let other = 0; other <= errors; other++) {
        if (errors < m && other < n && live[errors]!.value === shadow[other]!.value) return [errors, other]
        if (other < m && errors < n && live[other]!.value === shadow[errors]!.value) return [other, errors]
      }
    }
    return [1, 1]
  }

  #end(lane: Lane): void {
    const { live, shadow } = lane
    while (live.length > 0 && shadow.length > 0) {
      if (live[0]!.value !== shadow[0]!.value) {
        this.#align(lane)
        continue
      }
      this.#take(lane, 'live')
      this.#take(lane, 'shadow')
      this.#counts.equal++
    }
    while (live.length > 0) {
      if (live[0]!.tail) {
        this.#take(lane, 'live')
        this.#counts.undecided++
      } else this.#alone(lane, 'live')
    }
    while (shadow.length > 0) this.#alone(lane, 'shadow')
  }

  #different(lane: Lane): void {
    const { topic, key } = lane
    const [live, shadow] = [this.#take(lane, 'live').value, this.#take(lane, 'shadow').value]
    this.#counts.different++
    this.#sample({ kind: 'different', topic, key, live, shadow })
  }

  #alone(lane: Lane, side: Side): void {
    const { topic, key } = lane
    this.#error({ kind: side === 'live' ? 'missing' : 'extra', topic, key, value: this.#take(lane, side).value })
  }

  #take(lane: Lane, side: Side): Entry {
    const entry = lane[side].shift()!
    this.#pending[side] -= entry.bytes
    return entry
  }

  // ---- without a key ------------------------------------------------------------------------------------------------

  #heap(side: Side, { topic, value, tail = false }: Output): void {
    const name = `${topic}\0${value === null ? '' : `=${value}`}`
    const heap = this.#heaps.get(name) ?? {
      ...{ topic, value, bytes: ENTRY_BYTES + (value?.length ?? 0), surplus: 0, tail: 0 },
    }
    this.#forget(name, heap)
    const { surplus } = heap
    if (side === 'live' && tail) heap.tail++
    else heap.surplus += side === 'live' ? 1 : -1
    if (Math.abs(heap.surplus) < Math.abs(surplus)) this.#counts.equal++
    if (heap.surplus === 0 && heap.tail === 0) return
    this.#heaps.set(name, heap)
    this.#pending[sideOf(heap)] += heap.bytes
  }

  #forget(name: string, heap: Heap): void {
    if (this.#heaps.delete(name)) this.#pending[sideOf(heap)] -= heap.bytes
  }

  // ---- no more room -------------------------------------------------------------------------------------------------

  /** What waits longest is decided with what is there. */
  #relieve(): void {
    const before = this.#errors()
    for (const [name, lane] of this.#lanes) {
      this.#end(lane)
      this.#lanes.delete(name)
      this.#counts.forced += this.#errors() - before
      return
    }
    for (const [name, heap] of this.#heaps) {
      const { topic, value, surplus, tail } = heap
      this.#counts.undecided += tail
      for (let n = Math.abs(surplus); n > 0; n--)
        this.#error({ kind: surplus > 0 ? 'missing' : 'extra', topic, key: null, value })
      this.#forget(name, heap)
      this.#counts.forced += this.#errors() - before
      return
    }
  }

  #errors(): number {
    const { different, missing, extra } = this.#counts
    return different + missing + extra
  }

  #error({ kind, topic, key, value }: Omit<Output, 'tail'> & { readonly kind: 'missing' | 'extra' }): void {
    this.#counts[kind]++
    const [live, shadow] = kind === 'missing' ? [value, undefined] : [undefined, value]
    this.#sample({ kind, topic, key, live, shadow })
  }

  #sample(difference: Difference): void {
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push(difference)
  }
}

/** Who has more of it. */
const sideOf = ({ surplus }: Heap): Side => (surplus < 0 ? 'shadow' : 'live')
