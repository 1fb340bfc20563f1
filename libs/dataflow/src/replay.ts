/**
 * Listing dead letters and replaying them: the record goes back to where it was read, in one transaction with a receipt in
 * the topic of the dead letters. Who replays takes the job's replay id over first, so all earlier replays are decided, and
 * reads the receipts: an origin is replayed once, however often and by however many it is asked for.
 *
 *   receipt: headers `weir.replayed.job`, `.origin`, `.id`, in the partition of its dead letter, behind it
 */
import type { AsideRecord, RecordHeader } from '@weir/model'
import { DEAD, REPLAY } from './dead-letter.ts'
import type { StoredRecord, TopicCursor, Topics, TopicsTransaction } from './topics.ts'

export const REPLAYED = 'weir.replayed.'
/** Dead letters in one answer. */
export const LISTED_LETTERS_MAX = 200
/** Records one call replays; asked again, it goes on behind them. */
export const REPLAYED_MAX = 10_000
/** Refusals that are named in an answer. */
const REFUSED_NAMED_MAX = 100
/** Of one transaction, unless a single record is larger. */
const TRANSACTION_BYTES_MAX = 8 << 20
const VALUE_SHOWN_MAX = 1_024

/** A dead letter as it is shown. JSON. */
export interface DeadLetter {
  /** Where it lies in the topic of the dead letters. */
  readonly partition: number
  readonly offset: number
  /** `topic/partition/offset` where the record was read; null: the job has made it. */
  readonly origin: string | null
  /** Of the first try, for a record that was replayed before. */
  readonly first: string | null
  readonly operator: string
  readonly error: string
  readonly message: string
  readonly attempt: number
  readonly ordinal: string | null
  /** `partial`: it has had some effect already, or is not there any more: it cannot be replayed. */
  readonly replay: 'whole' | 'partial' | null
  /** Id of the replay, when it was replayed. */
  readonly replayed: string | null
  /** ms since 1970. */
  readonly timestamp: number
  readonly key: string | null
  /** At most 1,024 characters. */
  readonly value: string | null
  readonly valueBytes: number
}

interface Scope {
  readonly topic: string
  readonly jobId: string
}

export async function listDeadLetters(
  topics: Topics,
  { topic, jobId }: Scope,
  page: { readonly from: TopicCursor | null; readonly limit: number },
): Promise<{ readonly letters: readonly DeadLetter[]; readonly next: TopicCursor | null }> {
  const letters: DeadLetter[] = []
  const replayed = new Map<string, string>()
  const limit = Math.min(page.limit, LISTED_LETTERS_MAX)
  let next: TopicCursor | null = null
  for await (const record of topics.read(topic, page.from ?? undefined)) {
    const { partition, offset } = record
    // A receipt lies in its letter's partition and behind it: to the end of that one it has to be looked for.
    if (next !== null && partition !== next.partition) break
    const said = saidIn(record, jobId)
    if (said === null) continue
    if (said.of === 'receipt') replayed.set(said.get('origin')!, said.get('id')!)
    else if (letters.length < limit) letters.push(shown(record, said))
    else next ??= { partition, offset }
  }
  return { letters: letters.map((l) => ({ ...l, replayed: (l.origin && replayed.get(l.origin)) ?? null })), next }
}

export interface ReplayWish extends Scope {
  /** `topic/partition/offset`; null: all that can be. */
  readonly origins: readonly string[] | null
  readonly replayId: string
}

export interface Replay {
  readonly replayId: string
  readonly replayed: number
  /** By this or an earlier replay. */
  readonly before: number
  /** At most 100; with `origins` null those that cannot be replayed are passed over. */
  readonly refused: readonly { readonly origin: string; readonly why: string }[]
  /** Ask again: there are more. */
  readonly more: boolean
}

export const replayer = (jobId: string): string => `weir-replay.${jobId}`

/** Throws `PRODUCER_FENCED` when another replay of the job has begun meanwhile: asked again, it finds what that one did. */
export async function replayDeadLetters(topics: Topics, wish: ReplayWish): Promise<Replay> {
  const { topic, jobId, origins, replayId } = wish
  const transaction = await topics.begin(replayer(jobId))
  const done = new Set<string>()
  for await (const record of topics.read(topic)) {
    const said = saidIn(record, jobId)
    if (said?.of === 'receipt') done.add(said.get('origin')!)
  }
  const wanted = origins && new Set(origins)
  const asked = new Set(wanted)
  const refused: { origin: string; why: string }[] = []
  const writer = new ReplayWriter(transaction, wish)
  let before = 0
  let more = false
  for await (const record of topics.read(topic)) {
    const said = saidIn(record, jobId)
    if (said?.of !== 'letter') continue
    const letter = shown(record, said)
    const { origin } = letter
    if (origin === null || (wanted !== null && !wanted.has(origin))) continue
    asked.delete(origin)
    if (done.has(origin)) before++
    else if (letter.replay !== 'whole') {
      const why = `it failed in "${letter.operator}", behind which or beside which it has had an effect already, or it is not in its topic any more: write a corrected record yourself`
      if (wanted !== null) refused.push({ origin, why })
    } else if (writer.records >= REPLAYED_MAX) {
      more = true
      break
    } else {
      done.add(origin)
      await writer.add(record, letter, replayId)
    }
  }
  await writer.finish()
  if (!more) for (const origin of asked) refused.push({ origin, why: 'no dead letter of this job has this origin' })
  return { replayId, replayed: writer.records, before, refused: refused.slice(0, REFUSED_NAMED_MAX), more }
}

/** Cuts a replay into transactions. A record and its receipt are in the same one. */
class ReplayWriter {
  readonly #transaction: TopicsTransaction
  readonly #wish: ReplayWish
  #waiting: AsideRecord[] = []
  #bytes = 0
  records = 0

  constructor(transaction: TopicsTransaction, wish: ReplayWish) {
    this.#transaction = transaction
    this.#wish = wish
  }

  async add(record: StoredRecord, letter: DeadLetter, replayId: string): Promise<void> {
    const { topic, jobId } = this.#wish
    const [to, partition] = placeIn(letter.origin!)
    const { key, value, timestamp } = record
    const own = record.headers.filter(([name]) => !name.startsWith(DEAD))
    const of = { attempt: String(letter.attempt), first: letter.first ?? letter.origin!, id: replayId }
    const receipt = { job: jobId, origin: letter.origin!, id: replayId }
    this.#waiting.push(
      { topic: to, partition, key, value, timestamp, headers: [...own, ...headers(REPLAY, of)] },
      { topic, partition: record.partition, key, value: null, timestamp, headers: headers(REPLAYED, receipt) },
    )
    this.records++
    this.#bytes += value?.length ?? 0
    if (this.#bytes >= TRANSACTION_BYTES_MAX) await this.finish()
  }

  async finish(): Promise<void> {
    if (this.#waiting.length === 0) return
    await this.#transaction.write(this.#waiting)
    await this.#transaction.commit()
    this.#waiting = []
    this.#bytes = 0
  }
}

const headers = (prefix: string, of: Readonly<Record<string, string>>): RecordHeader[] =>
  Object.entries(of).map(([name, value]) => [prefix + name, Buffer.from(value)])

function placeIn(origin: string): [topic: string, partition: number] {
  const [topic, partition] = origin.split('/')
  return [topic!, Number(partition)]
}

type Said = Map<string, string> & { readonly of: 'letter' | 'receipt' }

/** Null: neither a dead letter of the job nor a receipt. */
function saidIn(record: StoredRecord, jobId: string): Said | null {
  for (const [prefix, of] of [
    [DEAD, 'letter'],
    [REPLAYED, 'receipt'],
  ] as const) {
    const said = new Map<string, string>()
    for (const [name, value] of record.headers) {
      if (name.startsWith(prefix) && value !== null) said.set(name.slice(prefix.length), Buffer.from(value).toString())
    }
    if (said.get('job') === jobId) return Object.assign(said, { of })
  }
  return null
}

function shown({ partition, offset, timestamp, key, value }: StoredRecord, said: Said): DeadLetter {
  const topic = said.get('topic')
  return {
    partition,
    offset,
    origin: topic === undefined ? null : `${topic}/${said.get('partition')}/${said.get('offset')}`,
    first: said.get('first') ?? null,
    operator: said.get('operator') ?? '',
    error: said.get('error') ?? '',
    message: said.get('message') ?? '',
    attempt: Number(said.get('attempt') ?? 1),
    ordinal: said.get('ordinal') ?? null,
    replay: (said.get('replay') as DeadLetter['replay']) ?? null,
    replayed: null,
    timestamp,
    key: key && Buffer.from(key).toString(),
    value: value && Buffer.from(value).toString().slice(0, VALUE_SHOWN_MAX),
    valueBytes: value?.length ?? 0,
  }
}
