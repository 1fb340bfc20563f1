/**
 * The sessions of a key, each as one record with all of its own: records less than `gapMs` apart, in the order of their event
 * time (of equal ones, as they arrived). A session is put out when the watermark reaches its end, `gapMs` behind its last record;
 * nothing of it is put out before, so every record is in exactly one session, or late and in the side output.
 *
 * Every record is a row until then. Where an accumulator is enough, a session window keeps less.
 */
import { WeirError } from '@weir/model'
import type { KeyedProcess, ListDescriptor, None, Out, ValueDescriptor } from './keyed-state.ts'
import type { LateContext } from './operators/keyed-process.ts'
import { sideOutput, type SideOutput } from './side-output.ts'

/** `start` inclusive, `end` exclusive, ms since 1970. The record's event time is `end − 1`. */
export interface Session<T> {
  readonly start: number
  readonly end: number
  readonly records: readonly T[]
}

interface Timed<T> {
  readonly at: number
  readonly value: T
}
type Kept<T> = {
  readonly records: ListDescriptor<Timed<T>>
  /** What the timers of the key are set to: the end of its first session, or before, and that of its last. */
  readonly closes: ValueDescriptor<number>
  readonly ends: ValueDescriptor<number>
}
/** `end`: bounded input runs on to it, so that every session closes. */
type Timers = { readonly close: 'event'; readonly end: 'event' }

/** Throws WeirError `WINDOW_INVALID` (invalid). */
export function sessionizing<T>(
  gapMs: number,
): KeyedProcess<T, Session<T>, Kept<T>, Timers, { readonly late: SideOutput<T> }> {
  if (Number.isSafeInteger(gapMs) && gapMs > 0) return sessionsOfGap(gapMs)
  throw new WeirError(
    { code: 'WINDOW_INVALID', kind: 'invalid', gapMs },
    `sessionize: the gap is ${gapMs} ms; it must be a whole number above 0.`,
  )
}

const sessionsOfGap = <T>(gapMs: number): ReturnType<typeof sessionizing<T>> => ({
  state: {
    records: { kind: 'list', ttl: null },
    closes: { kind: 'value', ttl: null, initial: undefined },
    ends: { kind: 'value', ttl: null, initial: undefined },
  },
  timers: { close: 'event', end: 'event' },
  sides: { late: sideOutput<T>() },
  onRecord(context, value) {
    const { state, timers, sides, timestamp, watermark } = context
    const { records, closes, ends } = state
    const end = timestamp + gapMs
    const joins = ({ at }: Timed<T>): boolean => Math.abs(at - timestamp) < gapMs
    if (end <= watermark && !records.get().some(joins)) {
      ;(context as unknown as LateContext<None, None>).late()
      return sides.late.emit(value)
    }
    records.add({ at: timestamp, value })
    const [first, last] = [closes.get(), ends.get()]
    if (first === undefined || end < first) {
      if (first !== undefined) timers.close.delete(first)
      timers.close.set(end)
      closes.set(end)
    }
    if (last === undefined || end > last) {
      if (last !== undefined) timers.end.delete(last)
      timers.end.set(end)
      ends.set(end)
    }
  },
  onTimer({ state: { records, closes, ends }, timers }, { time }, out: Out<Session<T>>) {
    const sessions = sessionsOf(records.get(), gapMs)
    const open = sessions.filter(({ end }) => end > time)
    for (const { start, end, records } of sessions) {
      if (end <= time) out.emit({ start, end, records: records.map(({ value }) => value) }, end - 1)
    }
    const [first] = open
    if (first === undefined) {
      for (const state of [records, closes, ends]) state.clear()
      return
    }
    if (open.length < sessions.length) records.set(open.flatMap((session) => session.records))
    timers.close.set(first.end)
    closes.set(first.end)
  },
})

function sessionsOf<T>(records: readonly Timed<T>[], gapMs: number): readonly Session<Timed<T>>[] {
  const sessions: { start: number; end: number; records: Timed<T>[] }[] = []
  for (const record of records.toSorted((a, b) => a.at - b.at)) {
    const last = sessions.at(-1)
    if (last === undefined || record.at >= last.end) {
      sessions.push({ start: record.at, end: record.at + gapMs, records: [record] })
    } else {
      last.records.push(record)
      last.end = record.at + gapMs
    }
  }
  return sessions
}
