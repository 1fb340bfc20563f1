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
  return options.window.type === 'global' ? globalModel(options, events) : timeModel(options, events)
}

function timeModel({ window, latenessMs, trigger }: ModelOptions, events: readonly Event[]): Step[] {
  const kept: Kept[] = []
  /** By window of a key: records that a purge has taken out, and how many came since the trigger fired. */
  const purged = new Map<string, Set<Kept>>()
  const counts = new Map<string, number>()
  /** Of sessions: records that no trigger counts any more. */
  const counted = new Set<Kept>()
  let watermark = Number.MIN_SAFE_INTEGER
  const idOf = (key: string, { start, end }: Span): string => `${key} ${start} ${end}`

  const spansOf = (key: string, record: Kept): Span[] => {
    if (window.type === 'session')
      return [
        sessionOf(
          kept.filter((r) => r.key === key),
          record,
          window.gapMs,
        ),
      ]
    if (window.type === 'global') return []
    const [size, slide] = [window.sizeMs, window.type === 'sliding' ? window.slideMs : window.sizeMs]
    const spans: Span[] = []
    for (
      let start = (window.offsetMs ?? 0) - Math.ceil(size / slide) * slide;
      start <= record.timestamp;
      start += slide
    )
      if (start + size > record.timestamp) spans.push({ start, end: start + size })
    return spans
  }
  /** Every window of time there is. */
  const all = (): (Span & { key: string })[] => {
    const found = new Map<string, Span & { key: string }>()
    for (const record of kept)
      for (const span of spansOf(record.key, record)) found.set(idOf(record.key, span), { ...span, key: record.key })
    return [...found.values()].sort((a, b) => a.end - b.end || (a.key < b.key ? -1 : 1))
  }
  const resultOf = (key: string, span: Span): Step['results'] => {
    const gone = purged.get(idOf(key, span)) ?? new Set()
    const inside = kept.filter(
      (r) => r.key === key && r.timestamp >= span.start && r.timestamp < span.end && !gone.has(r),
    )
    if (inside.length === 0) return []
    if (trigger?.purges) purged.set(idOf(key, span), new Set([...gone, ...inside]))
    const values = inside.toSorted((a, b) => a.timestamp - b.timestamp).map(({ value }) => value)
    return [[key, span.start, span.end, values]]
  }

  return events.map((event): Step => {
    if (event.kind === 'watermark') {
      if (event.timestamp <= watermark) return { results: [], late: [] }
      const before = watermark
      watermark = event.timestamp
      const due = all().filter(({ end }) => end > before && end <= watermark)
      const results = due.flatMap((span) => resultOf(span.key, span))
      for (const span of due) for (const record of inside(span.key, span)) counted.add(record)
      const every = trigger?.every
      const early =
        every?.by === 'event-time' && Math.floor(watermark / every.everyMs) > Math.floor(before / every.everyMs)
      const open = early && watermark < Number.MAX_SAFE_INTEGER ? all().filter(({ end }) => end > watermark) : []
      const all_ = [...results, ...open.flatMap((span) => resultOf(span.key, span))]
      // Nothing is forgotten but sessions, which would grow into new ones.
      if (window.type === 'session') {
        for (const span of all().filter(({ end }) => end + latenessMs <= watermark))
          for (const record of [...kept])
            if (record.key === span.key && record.timestamp >= span.start && record.timestamp < span.end)
              kept.splice(kept.indexOf(record), 1)
      }
      return { results: sorted(all_), late: [] }
    }
    const record: Kept = event
    const spans = spansOf(record.key, record).filter(({ end }) => end + latenessMs > watermark)
    if (spans.length === 0) return { results: [], late: [record.value] }
    kept.push(record)
    return { results: sorted(spans.flatMap((span) => onRecord(record.key, span))), late: [] }
  })

  function inside(key: string, span: Span): Kept[] {
    return kept.filter((r) => r.key === key && r.timestamp >= span.start && r.timestamp < span.end)
  }

  function onRecord(key: string, span: Span): Step['results'] {
    if (span.end <= watermark) {
      counted.add(kept.at(-1)!)
      return resultOf(key, span)
    }
    if (trigger?.every.by !== 'count') return []
    if (window.type === 'session') {
      const fresh = inside(key, span).filter((r) => !counted.has(r))
      if (fresh.length < trigger.every.count) return []
      for (const record of fresh) counted.add(record)
      return resultOf(key, span)
    }
    const id = idOf(key, span)
    const count = (counts.get(id) ?? 0) + 1
    counts.set(id, count === trigger.every.count ? 0 : count)
    return count === trigger.every.count ? resultOf(key, span) : []
  }
}

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
