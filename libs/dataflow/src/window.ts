/**
 * Windows as plain data: which windows a record belongs to (`WindowSpec`), and when one puts out what it has (`Trigger`).
 *
 *     tumbling   |-----|-----|-----|     every record in one window
 *     sliding    |-----|                 every record in size / slide windows; records are kept once per *pane*, the greatest
 *                  |-----|               common divisor of size and slide, and panes are put together when a window fires
 *     session    |--|     |-------|      records less than `gap` apart, per key; windows grow together: `merge`
 *     global     |--------------- …      all records of a key; fires by its trigger alone. A count window is one of these
 *
 * Triggers count, or look at the clock, by window: of a sliding one in each window a record is in, at the cost of a row each; sessions
 * that merge count together.
 *
 * A window of time [start, end) fires when the watermark reaches `end`. With `allowedLatenessMs` its records are kept until the
 * watermark is that much further, and each record that comes meanwhile fires it again: **results accumulate**, a later one of
 * the same key and window (of a session: of a window that holds the earlier one) takes the place of the earlier. What comes
 * later still is late: it goes into the side output `late`. Results have the event time `end − 1`: those of late records
 * are late for what follows, too.
 */
import { WATERMARK_MAX, WeirError, type Watermark } from '@weir/model'
import type { GraphNode, WindowNode } from './graph.ts'

export interface TumblingSpec {
  readonly type: 'tumbling'
  readonly sizeMs: number
  /** Windows begin at multiples of the size plus this, 0 … size − 1. Absent: 0. */
  readonly offsetMs?: number
}
export interface SlidingSpec {
  readonly type: 'sliding'
  readonly sizeMs: number
  /** From the begin of a window to that of the next; at most the size. */
  readonly slideMs: number
  /** 0 … slide − 1. Absent: 0. */
  readonly offsetMs?: number
}
export interface SessionSpec {
  readonly type: 'session'
  /** A record less than this behind another one of its key is of the same session. A session ends this long after its last record. */
  readonly gapMs: number
}
export interface GlobalSpec {
  readonly type: 'global'
}
export type WindowSpec = TumblingSpec | SlidingSpec | SessionSpec | GlobalSpec

/** When a window fires, besides at its end (a global window has none). Immutable, and plain data. */
export interface Trigger {
  readonly every: Every
  /** What has been put out is forgotten: the next result has only what came since. Else results accumulate. */
  readonly purges: boolean
}
export type Every =
  /** So many records of a key in a window. */
  | { readonly by: 'count'; readonly count: number }
  /** Multiples of it, as the watermark passes them. */
  | { readonly by: 'event-time'; readonly everyMs: number }
  /** Multiples of it by the clock of the task-manager, behind a record. Not deterministic. */
  | { readonly by: 'processing-time'; readonly everyMs: number }

export const everyCount = (count: number): Trigger => trigger({ by: 'count', count })
export const everyEventTime = (everyMs: number): Trigger => trigger({ by: 'event-time', everyMs })
export const everyProcessingTime = (everyMs: number): Trigger => trigger({ by: 'processing-time', everyMs })
/** The same trigger, and what it has put out is forgotten. */
export const purging = ({ every }: Trigger): Trigger => Object.freeze({ every, purges: true })
const trigger = (every: Every): Trigger => Object.freeze({ every: Object.freeze(every), purges: false })

/** A trigger by event time fires in front of the watermark `to`. The last one ends every window anyway. */
export function firesEarly(every: Every | null | undefined, before: Watermark, to: Watermark): boolean {
  if (every?.by !== 'event-time' || to === WATERMARK_MAX) return false
  return Math.floor(to / every.everyMs) !== Math.floor(before / every.everyMs)
}

/** Of one key: fires at every `count`th record and forgets them. What is left at the end of the input is not put out. */
export const countWindow = (count: number): { readonly window: GlobalSpec; readonly trigger: Trigger } => ({
  window: { type: 'global' },
  trigger: purging(everyCount(count)),
})

/** A window's records are kept in parts that are put together. */
export const merges = (window: WindowSpec): boolean =>
  window.type === 'session' || (window.type === 'sliding' && window.slideMs < window.sizeMs)

/** A window's records outlive its firing: what has fired is state, too. */
export const keepsFired = ({
  window,
  allowedLatenessMs = 0,
}: Pick<WindowNode, 'window' | 'allowedLatenessMs'>): boolean =>
  allowedLatenessMs > 0 || (window.type === 'sliding' && merges(window))

/**
 * What every event time at which an operator acts is a multiple of, ms: at no other it matters where the watermark is. Empty:
 * event time does not matter to it.
 */
export function eventTimeStepsMs(node: GraphNode): readonly number[] {
  if (['keyedProcess', 'connect', 'withBroadcast'].includes(node.kind)) return [1] // its timers may be set to any time
  if (node.kind !== 'window') return []
  const { window, trigger, allowedLatenessMs = 0 } = node
  const early = trigger?.every.by === 'event-time' ? [trigger.every.everyMs] : []
  switch (window.type) {
    case 'tumbling':
    case 'sliding': {
      const slide = window.type === 'sliding' ? [window.slideMs] : []
      return [window.sizeMs, ...slide, window.offsetMs ?? 0, allowedLatenessMs, ...early].filter((ms) => ms > 0)
    }
    case 'session':
      return [1] // ends where its last record says
    case 'global':
      return early
  }
}

/** Bounds the panes of one window: a firing looks at each. */
const PANES_MAX = 10_000

/** Throws WeirError `WINDOW_INVALID` (invalid). */
export function checkWindow(node: WindowNode): void {
  const why = objection(node)
  if (why === null) return
  throw new WeirError(
    { code: 'WINDOW_INVALID', kind: 'invalid', uid: node.uid, window: node.window },
    `window "${node.uid}": ${why}`,
  )
}

const isSpan = (ms: number): boolean => Number.isSafeInteger(ms) && ms > 0

function objection(node: WindowNode): string | null {
  const { window, trigger, allowedLatenessMs = 0, aggregate, process } = node
  const span = (name: string, ms: number): string | null =>
    isSpan(ms) ? null : `its ${name} is ${ms} ms; it must be a whole number above 0.`
  if (!(Number.isSafeInteger(allowedLatenessMs) && allowedLatenessMs >= 0))
    return `its allowed lateness is ${allowedLatenessMs} ms; it must be a whole number, 0 or more.`
  const wrong = trigger && objectionToTrigger(trigger, window)
  if (wrong) return wrong
  if (process && window.type !== 'tumbling' && window.type !== 'sliding')
    return `a function over all records of a ${window.type} window is not there: sessionize hands sessions over whole, an aggregate may keep lists.`
  if (merges(window) && !aggregate.merge)
    return `a ${window.type} window puts accumulators together, and its aggregate has no merge: give it merge: (a, b) => … .`
  switch (window.type) {
    case 'tumbling':
      return span('size', window.sizeMs) ?? offsetObjection(window.offsetMs, window.sizeMs, 'size')
    case 'sliding':
      return (
        span('size', window.sizeMs) ??
        span('slide', window.slideMs) ??
        slideObjection(window) ??
        offsetObjection(window.offsetMs, window.slideMs, 'slide')
      )
    case 'session':
      return span('gap', window.gapMs)
    case 'global':
      if (!trigger)
        return 'a global window has no end, and without a trigger it never fires: globalWindow(everyCount(100)).'
      return allowedLatenessMs > 0
        ? 'a global window has no end, so nothing can be late: leave out the lateness.'
        : null
  }
}

function slideObjection({ sizeMs, slideMs }: SlidingSpec): string | null {
  if (slideMs > sizeMs)
    return `it slides by ${slideMs} ms and is ${sizeMs} ms long: records between two windows would be in none. Slide by its size at most, or filter them out before it.`
  const panes = sizeMs / gcd(sizeMs, slideMs)
  if (panes <= PANES_MAX) return null
  return `${sizeMs} ms that slide by ${slideMs} ms are ${panes} panes per window, more than ${PANES_MAX}: choose a slide that divides the size.`
}

function offsetObjection(offsetMs: number | undefined, below: number, name: string): string | null {
  if (offsetMs === undefined || (Number.isSafeInteger(offsetMs) && offsetMs >= 0 && offsetMs < below)) return null
  return `its offset is ${offsetMs} ms; it must be a whole number, 0 or more and less than its ${name}.`
}

function objectionToTrigger({ every, purges }: Trigger, window: WindowSpec): string | null {
  if (every.by === 'count' ? !isSpan(every.count) : !isSpan(every.everyMs))
    return `its trigger fires every ${every.by === 'count' ? `${every.count} records` : `${every.everyMs} ms`}; it must be a whole number above 0.`
  if (!merges(window)) return null
  return purges
    ? `a ${window.type} window shares its records with others, so a trigger cannot purge them: leave out purging(…).`
    : null
}

export const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))
