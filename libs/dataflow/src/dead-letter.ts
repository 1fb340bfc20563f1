/**
 * Dead letters: records that could not be decoded, processed or written, put into a topic of their own in the same
 * transaction as the outputs of their neighbours. Value, key and headers are those of the record as it was read; what
 * happened to it stands in headers whose names begin with `weir.dead.`:
 *
 *   job · operator · error (code) · message · attempt (tries of this record, from 1) · run (generation.attempt of the job)
 *   topic · partition · offset    where it was read: its origin, of which there is one dead letter per operator
 *   ordinal                       which output of a flatMap it had become
 *   first                         topic/partition/offset of the first try, for a record that was replayed before
 *   value                         `original`, `gone` (the topic no longer holds it) or `json` (made by the job: a window's
 *                                 result, a generated record; there is no origin then)
 *   replay                        `whole`: the record had no effect, so it can be replayed; `partial`: it had some already
 */
import type { AsideRecord, AttemptId, Key, OperatorUid, RecordHeader, TopicRecord, WeirError } from '@weir/model'
import type { RawRecords } from './ports.ts'

export const DEAD = 'weir.dead.'
/** Headers of a replayed record: `attempt` (replays of it so far), `first`, `id`. */
export const REPLAY = 'weir.replay.'

/** `topic/partition/offset` of the first try of a replayed record; null: it is none. */
export function retryOf(headers: readonly RecordHeader[]): string | null {
  const first = headers.find(([name]) => name === `${REPLAY}first`)
  return textOf(first?.[1])
}

/** A record that was taken out of the flow, and why. */
export interface Refusal {
  readonly operatorUid: OperatorUid
  readonly error: WeirError
  /** As they were where it failed; undefined and null at a source. */
  readonly value: unknown
  readonly key: Key | null
  /** Event time, ms; null at a source. */
  readonly timestamp: number | null
  /** Null for what the job has made itself. */
  readonly origin: { readonly place: number; readonly offset: number; readonly ordinal: string | null } | null
  /** The record as read, where it is at hand. */
  readonly record: TopicRecord | null
  /** True: the record has had no effect anywhere. */
  readonly whole: boolean
}

export interface DeadLetterPlace {
  /** Of the dead letters. */
  readonly topic: string
  readonly jobId: string
  readonly attempt: AttemptId
  /** Where the record was read; null: it has no origin, or one that is no topic. */
  readonly origin: { readonly topic: string; readonly partition: number } | null
  /** For records without an origin. */
  readonly partition: number
}

/** Longest message kept, characters. */
const MESSAGE_MAX = 1_000
const utf8 = (text: string): Uint8Array => Buffer.from(text)
const textOf = (bytes: Uint8Array | null | undefined): string | null => (bytes ? Buffer.from(bytes).toString() : null)

/** `original`: the record read again; null when it is not there any more. */
export function deadLetter(refusal: Refusal, place: DeadLetterPlace, original: TopicRecord | null): AsideRecord {
  const { error, operatorUid, origin, whole } = refusal
  const found = refusal.record ?? original
  const said = new Map(found?.headers.map(([name, value]) => [name, textOf(value)]))
  const facts: [string, string | null][] = [
    ['job', place.jobId],
    ['operator', operatorUid],
    ['error', error.code],
    ['message', error.message.slice(0, MESSAGE_MAX)],
    ['attempt', String(Number(said.get(`${REPLAY}attempt`) ?? 0) + 1)],
    ['run', `${place.attempt.generation}.${place.attempt.attempt}`],
  ]
  const fromTopic = origin !== null && place.origin !== null
  if (fromTopic) {
    facts.push(['topic', place.origin.topic], ['partition', String(place.origin.partition)])
    facts.push(['offset', String(origin.offset)], ['ordinal', origin.ordinal])
    facts.push(['first', said.get(`${REPLAY}first`) ?? null])
  }
  const json = !fromTopic && found === null
  facts.push(['value', found ? 'original' : json ? 'json' : 'gone'])
  if (fromTopic) facts.push(['replay', whole && found !== null ? 'whole' : 'partial'])
  const own = (found?.headers ?? []).filter(([name]) => !name.startsWith(DEAD) && !name.startsWith(REPLAY))
  return {
    topic: place.topic,
    partition: place.origin?.partition ?? place.partition,
    key: found ? found.key : refusal.key === null ? null : utf8(String(refusal.key)),
    value: found ? found.value : json ? jsonOf(refusal.value) : null,
    timestamp: found?.timestamp ?? refusal.timestamp ?? 0,
    headers: [...own, ...facts.flatMap(([name, v]): RecordHeader[] => (v === null ? [] : [[DEAD + name, utf8(v)]]))],
  }
}

/** What it cannot hold is shown as text: a dead letter must not fail. */
function jsonOf(value: unknown): Uint8Array {
  try {
    const text = JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)) as string | undefined
    return utf8(text ?? String(value))
  } catch {
    return utf8(Object.prototype.toString.call(value))
  }
}

/** A copy of one record of a poll. */
export function recordAt(raw: RawRecords, i: number): TopicRecord {
  const part = (start: number, end: number): Uint8Array | null =>
    start < 0 ? null : Uint8Array.prototype.slice.call(raw.buffer, start, end)
  return {
    key: part(raw.keyStart[i]!, raw.keyEnd[i]!),
    value: part(raw.valueStart[i]!, raw.valueEnd[i]!),
    timestamp: raw.timestamps[i]!,
    headers: raw.headers?.(raw, i) ?? [],
  }
}
