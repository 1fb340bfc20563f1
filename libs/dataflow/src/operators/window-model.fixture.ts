/** The dumb windows: they keep every record, and look at all of them whenever anything happens. Tests compare the operators to them. */
import type { Key } from '@weir/model'
import type { Trigger, WindowSpec } from '../window.ts'

export type Event =
  | { readonly kind: 'record'; readonly key: string; readonly value: number; readonly timestamp: number }
  | { readonly kind: 'watermark'; readonly timestamp: number }

export interface ModelOptions {
  readonly window: WindowSpec
  readonly latenessMs: number
  readonly trigger: Trigger | null
}
/** What comes out behind one event, sorted, and what is late. */
export interface Step {
  readonly results: readonly (readonly [key: Key, start: number, end: number, values: readonly number[]])[]
  readonly late: readonly number[]
}

interface Kept {
  readonly key: string
  readonly value: number
  readonly timestamp: number
}
interface Span {
  readonly start: number
  readonly end: number
}

/** Values of a result in the order of their event time, of equal ones as they came. */
export function model(options: ModelOptions, events: readonly Event[]): Step[] {
  const { window } = options
  if (window.type === 'global') return globalModel(options, events)
  const windows = new TimeModel(window, options)
  return events.map((event) => windows.step(event))
}

class TimeModel {
  readonly #window: Exclude<WindowSpec, { type: 'global' }>
  readonly #latenessMs: number
  readonly #trigger: Trigger | null
  readonly #kept: Kept[] = []
  /** By window of a key: records that a purge has taken out, and how many came since the trigger fired. */
  readonly #purged = new Map<string, Set<Kept>>()
  readonly #counts = new Map<string, number>()
  /** Of sessions: records that no trigger counts any more. */
  readonly #counted = new Set<Kept>()
  #watermark = Number.MIN_SAFE_INTEGER

  constructor(window: Exclude<WindowSpec, { type: 'global' }>, { latenessMs, trigger }: ModelOptions) {
    this.#window = window
    this.#latenessMs = latenessMs
    this.#trigger = trigger
  }

  step(event: Event): Step {
    return event.kind === 'record' ? this.#onRecord(event) : this.#onWatermark(event.timestamp)
  }

  #onRecord(record: Kept): Step {
    const spans = this.#spansOf(record).filter(({ end }) => end + this.#latenessMs > this.#watermark)
    if (spans.length === 0) return { results: [], late: [record.value] }
    this.#kept.push(record)
    return { results: sorted(spans.flatMap((span) => this.#recordIn(record, span))), late: [] }
  }

  #onWatermark(timestamp: number): Step {
    const before = this.#watermark
    if (timestamp <= before) return { results: [], late: [] }
    this.#watermark = timestamp
    const due = this.#all().filter(({ end }) => end > before && end <= timestamp)
    const results = due.flatMap((span) => this.#resultOf(span.key, span))
    for (const span of due) for (const record of this.#inside(span.key, span)) this.#counted.add(record)
    const open = this.#firesEarly(before) ? this.#all().filter(({ end }) => end > timestamp) : []
    const early = open.flatMap((span) => this.#resultOf(span.key, span))
    if (this.#window.type === 'session') this.#forgetSessions()
    return { results: sorted([...results, ...early]), late: [] }
  }

  #recordIn(record: Kept, span: Span): Step['results'] {
    const { key } = record
    if (span.end <= this.#watermark) {
      this.#counted.add(record)
      return this.#resultOf(key, span)
    }
    const every = this.#trigger?.every
    if (every?.by !== 'count') return []
    if (this.#window.type === 'session') {
      const fresh = this.#inside(key, span).filter((r) => !this.#counted.has(r))
      if (fresh.length < every.count) return []
      for (const one of fresh) this.#counted.add(one)
      return this.#resultOf(key, span)
    }
    const id = idOf(key, span)
    const count = (this.#counts.get(id) ?? 0) + 1
    this.#counts.set(id, count === every.count ? 0 : count)
    return count === every.count ? this.#resultOf(key, span) : []
  }

  #firesEarly(before: number): boolean {
    const every = this.#trigger?.every
    if (every?.by !== 'event-time' || this.#watermark >= Number.MAX_SAFE_INTEGER) return false
    return Math.floor(this.#watermark / every.everyMs) > Math.floor(before / every.everyMs)
  }

  /** Nothing else is forgotten: these would grow into new ones. */
  #forgetSessions(): void {
    for (const span of this.#all().filter(({ end }) => end + this.#latenessMs <= this.#watermark))
      for (const record of this.#inside(span.key, span)) this.#kept.splice(this.#kept.indexOf(record), 1)
  }

  #spansOf(record: Kept): Span[] {
    const window = this.#window
    if (window.type === 'session') {
      const own = this.#kept.filter(({ key }) => key === record.key)
      return [sessionOf(own, record, window.gapMs)]
    }
    const [size, slide] = [window.sizeMs, window.type === 'sliding' ? window.slideMs : window.sizeMs]
    const spans: Span[] = []
    const first = (window.offsetMs ?? 0) - Math.ceil(size / slide) * slide
    for (let start = first; start <= record.timestamp; start += slide)
      if (start + size > record.timestamp) spans.push({ start, end: start + size })
    return spans
  }

  /** Every window of time there is. */
  #all(): (Span & { key: string })[] {
    const found = new Map<string, Span & { key: string }>()
    for (const record of this.#kept)
      for (const span of this.#spansOf(record)) found.set(idOf(record.key, span), { ...span, key: record.key })
    return [...found.values()].sort((a, b) => a.end - b.end || (a.key < b.key ? -1 : 1))
  }

  #inside(key: string, { start, end }: Span): Kept[] {
    return this.#kept.filter((r) => r.key === key && r.timestamp >= start && r.timestamp < end)
  }

  #resultOf(key: string, span: Span): Step['results'] {
    const gone = this.#purged.get(idOf(key, span)) ?? new Set()
    const inside = this.#inside(key, span).filter((r) => !gone.has(r))
    if (inside.length === 0) return []
    if (this.#trigger?.purges) this.#purged.set(idOf(key, span), new Set([...gone, ...inside]))
    const values = inside.toSorted((a, b) => a.timestamp - b.timestamp).map(({ value }) => value)
    return [[key, span.start, span.end, values]]
  }
}

const idOf = (key: string, { start, end }: Span): string => `${key} ${start} ${end}`

/** The record with all that is less than the gap from it, and from those. */
function sessionOf(records: readonly Kept[], of: Kept, gapMs: number): Span {
  let [start, end] = [of.timestamp, of.timestamp + gapMs]
  for (let grown = true; grown;) {
    grown = false
    for (const { timestamp } of records) {
      if (timestamp >= end || timestamp + gapMs <= start) continue
      if (timestamp >= start && timestamp + gapMs <= end) continue
      ;[start, end, grown] = [Math.min(start, timestamp), Math.max(end, timestamp + gapMs), true]
    }
  }
  return { start, end }
}

function globalModel({ trigger }: ModelOptions, events: readonly Event[]): Step[] {
  const { every, purges } = trigger!
  const byKey = new Map<string, { kept: Kept[]; since: number; due: number | null }>()
  let watermark = Number.MIN_SAFE_INTEGER
  const fire = (key: string): Step['results'] => {
    const of = byKey.get(key)!
    const times = of.kept.map(({ timestamp }) => timestamp)
    const values = of.kept.toSorted((a, b) => a.timestamp - b.timestamp).map(({ value }) => value)
    of.since = 0
    of.due = null
    if (purges) of.kept = []
    return [[key, Math.min(...times), Math.max(...times) + 1, values]]
  }
  return events.map((event): Step => {
    if (event.kind === 'watermark') {
      watermark = Math.max(watermark, event.timestamp)
      const due = [...byKey].filter(([, of]) => of.due !== null && of.due <= watermark)
      return { results: sorted(due.flatMap(([key]) => fire(key))), late: [] }
    }
    const of = byKey.get(event.key) ?? { kept: [], since: 0, due: null }
    byKey.set(event.key, of)
    of.kept.push(event)
    of.since++
    if (every.by === 'event-time')
      of.due ??= (Math.floor(Math.max(event.timestamp, watermark) / every.everyMs) + 1) * every.everyMs
    return { results: every.by === 'count' && of.since === every.count ? fire(event.key) : [], late: [] }
  })
}

export const sorted = (results: Step['results']): Step['results'] =>
  results.toSorted(
    ([a, , endA, { length: nA }], [b, , endB, { length: nB }]) => endA - endB || (a < b ? -1 : a > b ? 1 : nA - nB),
  )
