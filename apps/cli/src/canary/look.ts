/**
 * One comparison of a canary with its job, both running. They are never equally far, so neither's last outputs can be held against the
 * other at once; how far the sources have read tells when they can:
 *
 * ```
 *   1 stable ends L of the live topics, then how far the job has read     all output in front of L is of input in front of that
 *   2 the canary has read as far, and that epoch is final                 all its partners lie in front of the shadow's ends S
 *   3 S is stable, then how far the canary has read
 *   4 the job has read as far, and that epoch is final                    all partners of S lie in front of the live ends E
 *
 *     live    ├──────────── judged ───────────┤L ── tail ──┤E             a live record in front of L without a partner is missing
 *     shadow  ├──────────── judged ──────────────┤S                       one of the shadow without a partner is extra
 * ```
 */
import { Comparer, type CanarySettings, type CanarySide as Side, type Comparison } from '@weir/dataflow'
import { hasReached, type CanarySide, type CanaryView, type SourcePositions } from '@weir/job'
import type { KafkaTopics } from '@weir/kafka'
import { WeirError, type Clock } from '@weir/model'
import type { JobsClient } from '@weir/wire'
import { normalOf, textOf } from './texts.ts'

export type RunningCanary = NonNullable<CanaryView['canary']>

export interface LookDeps {
  readonly client: JobsClient
  readonly topics: Pick<KafkaTopics, 'ends' | 'range'>
  readonly clock: Clock
}

const LOOK_MS = 200
/** For each side to come to where the other one was: some checkpoints. */
export const BEHIND_MS_MAX = 300_000
const OVER = ['FINISHED', 'FAILED', 'CANCELLED', 'STOPPED']
export const isOver = ({ state }: Pick<CanarySide, 'state'>): boolean => OVER.includes(state)

/** Ends by topic and partition. */
type Ends = ReadonlyMap<string, readonly number[]>

/**
 * Throws `CANARY_BEHIND` (retry), `CANARY_FAILED`, `JOB_NOT_RUNNING`, `RECORDS_EXPIRED` (invalid), and as the servers do.
 * @param withinMs for each of the waits
 */
export async function look(canary: RunningCanary, deps: LookDeps, withinMs = BEHIND_MS_MAX): Promise<Comparison> {
  const { settings } = canary
  const live = Object.keys(settings.topics)
  const shadow = live.map((topic) => settings.topics[topic]!.shadow)
  const wait = new Wait(canary, deps, withinMs)

  const judged = await endsOf(live, true, deps)
  await wait.reached('canary', await wait.read('live'))
  const shadowEnds = await wait.stable(shadow)
  await wait.reached('live', await wait.read('canary'))
  const liveEnds = await wait.stable(live)

  const comparer = new Comparer({ share: settings.share })
  for (const topic of live) {
    for (const [partition, until] of liveEnds.get(topic)!.entries()) {
      const { shadow: aside, liveFrom, shadowFrom } = settings.topics[topic]!
      await comparePartition(comparer, {
        ...{ topic, settings, judgedUntil: judged.get(topic)![partition]! },
        live: deps.topics.range(topic, partition, liveFrom[partition] ?? 0, until),
        shadow: deps.topics.range(aside, partition, shadowFrom[partition] ?? 0, shadowEnds.get(aside)![partition]!),
      })
      comparer.flush()
    }
  }
  return comparer.end()
}

type Records = ReturnType<KafkaTopics['range']>

async function comparePartition(
  comparer: Comparer,
  of: {
    readonly topic: string
    readonly settings: CanarySettings
    readonly judgedUntil: number
    readonly live: Records
    readonly shadow: Records
  },
): Promise<void> {
  const { topic, settings, judgedUntil } = of
  const normal = normalOf(settings)
  const before = new Set(settings.before)
  const open = new Set<Side>(['live', 'shadow'])
  while (open.size > 0) {
    const [less, more]: [Side, Side] =
      comparer.pending.live <= comparer.pending.shadow ? ['live', 'shadow'] : ['shadow', 'live']
    const side = open.has(less) ? less : more
    const next = await of[side].next()
    if (next.done === true) {
      open.delete(side)
      continue
    }
    const { key, value, offset, transaction } = next.value
    if (side === 'live' && before.has(transaction)) continue
    const tail = side === 'live' && offset >= judgedUntil
    comparer.saw(side, { topic, key: key && textOf(key), value: normal(value), tail })
  }
}

/** Waits of one look, each bounded. */
class Wait {
  readonly #canary: RunningCanary
  readonly #deps: LookDeps
  readonly #withinMs: number

  constructor(canary: RunningCanary, deps: LookDeps, withinMs: number) {
    this.#canary = canary
    this.#deps = deps
    this.#withinMs = withinMs
  }

  /** How far a side has read, as of its newest published epoch. */
  async read(side: 'live' | 'canary'): Promise<SourcePositions> {
    return this.#until(`${this.#name(side)} has no published epoch`, async () => {
      return (await this.#side(side)).read?.positions ?? null
    })
  }

  /** An epoch of it is final that has processed all input in front of `target`. */
  async reached(side: 'live' | 'canary', target: SourcePositions): Promise<void> {
    let needed: number | null = null
    await this.#until(`${this.#name(side)} has not read as far as ${JSON.stringify(target)}`, async () => {
      const { read, finalEpoch } = await this.#side(side)
      if (needed === null && read !== null && !read.inFlight && hasReached(read.positions, target)) needed = read.epoch
      return needed !== null && finalEpoch >= needed ? true : null
    })
  }

  /** The ends of now, as soon as every transaction in front of them has ended. */
  async stable(topics: readonly string[]): Promise<Ends> {
    const wanted = await endsOf(topics, false, this.#deps)
    await this.#until(`transactions are open in ${topics.join(', ')}`, async () => {
      const ends = await endsOf(topics, true, this.#deps)
      return topics.every((topic) => wanted.get(topic)!.every((end, i) => ends.get(topic)![i]! >= end)) ? true : null
    })
    return wanted
  }

  async #side(side: 'live' | 'canary'): Promise<CanarySide> {
    const { jobId, settings } = this.#canary
    const view = await this.#deps.client.canary(settings.of)
    if (side === 'live') {
      if (isOver(view.live)) throw notRunning(view.live)
      return view.live
    }
    if (view.canary?.jobId !== jobId || isOver(view.canary)) throw canaryOver(view.canary ?? this.#canary)
    return view.canary
  }

  #name(side: 'live' | 'canary'): string {
    return side === 'live' ? `job ${this.#canary.settings.of}` : `canary ${this.#canary.jobId}`
  }

  async #until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
    const { clock } = this.#deps
    for (const deadline = clock.monotonic() + this.#withinMs; ; await clock.sleep(LOOK_MS)) {
      const found = await look()
      if (found !== null) return found
      if (clock.monotonic() > deadline) throw behind(this.#canary, what, this.#withinMs)
    }
  }
}

async function endsOf(topics: readonly string[], stable: boolean, { topics: log }: LookDeps): Promise<Ends> {
  return new Map(await Promise.all(topics.map(async (topic) => [topic, await log.ends(topic, stable)] as const)))
}

const behind = ({ jobId, settings }: RunningCanary, what: string, waitedMs: number): WeirError =>
  new WeirError(
    { code: 'CANARY_BEHIND', kind: 'retry', jobId, of: settings.of, waitedMs },
    `${what} after ${waitedMs / 1_000} s: both have to go on reading to be compared. Look at \`weir get ${settings.of}\` and \`weir get ${jobId}\``,
  )

export const notRunning = ({ jobId, state }: CanarySide): WeirError =>
  new WeirError(
    { code: 'JOB_NOT_RUNNING', kind: 'invalid', jobId, state },
    `job ${jobId} is ${state}: a canary is compared with a job that runs; end it with \`weir canary abort ${jobId}\``,
  )

export const canaryOver = ({ jobId, state, settings, error }: RunningCanary): WeirError =>
  new WeirError(
    { code: 'CANARY_FAILED', kind: 'invalid', jobId, state, reason: error },
    `canary ${jobId} is ${state}${error === null ? '' : `: ${error.code}: ${error.message}`}. \`weir canary abort ${settings.of}\` takes its topics away`,
  )
