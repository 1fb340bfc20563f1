/**
 * W3C trace context of records, carried through a job that asks for it (`traceContext: true`): what a record came with in its
 * headers `traceparent` and `tracestate`, its outputs are written with. An output of a fold has the context of
 * the record that triggered it; what is made of many records later (a window's result, a timer's) has none.
 */
import type { RecordHeader } from '@weir/model'

/** Version 00 has four fields; later ones may have more behind them. Ids of zeros alone, and version ff, are none. */
const TRACEPARENT =
  /^(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)$/
/** A longer one is dropped, as the specification allows. */
const TRACESTATE_CHARS_MAX = 1_024

/** `traceparent`, and behind a space `tracestate`. Null: there is none, or it is none. */
export function traceOf(headers: readonly RecordHeader[]): string | null {
  let parent: string | null = null
  let state = ''
  for (const [name, value] of headers) {
    if (value === null) continue
    if (name === 'traceparent') parent = Buffer.from(value).toString()
    else if (name === 'tracestate') state += `${state === '' ? '' : ','}${Buffer.from(value).toString()}`
  }
  if (parent === null || !TRACEPARENT.test(parent)) return null
  return state === '' || state.length > TRACESTATE_CHARS_MAX ? parent : `${parent} ${state}`
}

/** An output that has a context of its own keeps it. */
export function withTrace(headers: readonly RecordHeader[], trace: string): readonly RecordHeader[] {
  if (headers.some(([name]) => name === 'traceparent')) return headers
  const space = trace.indexOf(' ')
  const parent: RecordHeader = ['traceparent', Buffer.from(space < 0 ? trace : trace.slice(0, space))]
  if (space < 0) return [...headers, parent]
  return [...headers, parent, ['tracestate', Buffer.from(trace.slice(space + 1))]]
}
