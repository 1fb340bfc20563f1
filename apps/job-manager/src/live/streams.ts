/** Streams of events (server-sent events): a snapshot, then what changes. Whoever asks for the same shares the work. */
import { WeirError, type Cancel, type Clock, type JobId } from '@weir/model'
import type { TaskManagerInfo } from '@weir/wire'
import type { Notice, Notices } from './notices.ts'
import { changes, pictureOf, snapshotOf, type LiveSource, type Picture } from './picture.ts'

export interface LiveOptions {
  /** Of this process, together. */
  readonly streamsMax: number
  /** Not yet taken by a client. Who has more is closed, and finds a snapshot when it comes back. */
  readonly waitingBytesMax: number
  /** How often is looked for changes. */
  readonly tickMs: number
  /** A comment goes to everybody this often, so that what stands between does not think that the connection is dead. */
  readonly heartbeatMs: number
}
export const LIVE_DEFAULTS: LiveOptions = {
  ...{ streamsMax: 100, waitingBytesMax: 1 << 20, tickMs: 500, heartbeatMs: 15_000 },
}

/** What is used of a response. */
export interface Out {
  readonly writableLength: number
  readonly destroyed: boolean
  write(text: string): unknown
  end(): unknown
  destroy(): unknown
  once(event: 'close', call: () => void): unknown
}

export interface LiveTerm extends LiveSource {
  readonly generation: number
  readonly notices: Notices
}
export interface LiveDeps {
  readonly clock: Clock
  readonly fleet: () => readonly TaskManagerInfo[]
}

interface Topic {
  readonly term: LiveTerm
  readonly jobId: JobId | null
  readonly clients: Set<Out>
  picture: Picture
  stop: Cancel
}

export class LiveStreams {
  readonly #options: LiveOptions
  readonly #deps: LiveDeps
  /** By job id; '': of all. */
  readonly #topics = new Map<string, Topic>()

  constructor(options: LiveOptions, deps: LiveDeps) {
    this.#options = options
    this.#deps = deps
  }

  get size(): number {
    return [...this.#topics.values()].reduce((sum, topic) => sum + topic.clients.size, 0)
  }

  /**
   * `accept` is called when nothing can be refused any more, and gives where to write. `jobId` null: all jobs.
   * Throws `STREAMS_MAX` (retry), `JOB_UNKNOWN`.
   * @param lastEventId of the stream this one continues: notices since then are sent again behind the snapshot
   */
  open(term: LiveTerm, jobId: JobId | null, lastEventId: string | undefined, accept: () => Out): void {
    const { streamsMax } = this.#options
    if (this.size >= streamsMax) {
      throw new WeirError(
        { code: 'STREAMS_MAX', kind: 'retry', streamsMax },
        `${streamsMax} streams of events are open here already: close one, or ask for the lists now and then`,
      )
    }
    const topic = this.#topics.get(jobId ?? '') ?? this.#begin(term, jobId)
    // Everybody else gets what the new one finds in its snapshot.
    this.#look(topic)
    const out = accept()
    topic.clients.add(out)
    out.once('close', () => this.#left(topic, out))
    if (out.destroyed) return this.#left(topic, out) // it has gone while it was looked at
    const from = lastEventId === undefined ? null : serialIn(lastEventId, term.generation)
    const { notices, missed } = term.notices.since(from ?? (lastEventId === undefined ? term.notices.serial : 0))
    const head = { generation: term.generation, at: this.#deps.clock.now() }
    const gap = lastEventId !== undefined && (from === null || missed)
    const snapshot = `${JSON.stringify({ ...head, missed: gap }).slice(0, -1)},${snapshotOf(topic.picture, jobId)}}`
    this.#write(out, `retry: 1000\n${frame('snapshot', snapshot, this.#id(term))}`)
    for (const notice of notices) if (concerns(notice, jobId)) this.#write(out, noticeFrame(term, notice))
  }

  /** Ends every stream: the term is over, or the process. */
  closeAll(): void {
    for (const topic of this.#topics.values()) {
      topic.stop()
      for (const out of topic.clients) {
        // Who does not read would hold up the end of the process.
        if (out.writableLength > 0) out.destroy()
        else out.end()
      }
    }
    this.#topics.clear()
  }

  #begin(term: LiveTerm, jobId: JobId | null): Topic {
    const { clock, fleet } = this.#deps
    const { tickMs, heartbeatMs } = this.#options
    const topic: Topic = { term, jobId, clients: new Set(), picture: pictureOf(term, fleet, jobId), stop: () => {} }
    const told = term.notices.listen((notice) => {
      if (concerns(notice, jobId)) this.#toAll(topic, noticeFrame(term, notice))
    })
    let heard = clock.monotonic()
    let cancel: Cancel = () => {}
    const tick = (): void => {
      this.#look(topic)
      if (clock.monotonic() - heard >= heartbeatMs) {
        heard = clock.monotonic()
        this.#toAll(topic, ': heartbeat\n\n')
      }
      cancel = clock.after(tickMs, tick)
    }
    cancel = clock.after(tickMs, tick)
    topic.stop = () => {
      told()
      cancel()
    }
    this.#topics.set(jobId ?? '', topic)
    return topic
  }

  #look(topic: Topic): void {
    const { term, jobId } = topic
    let picture: Picture
    try {
      picture = pictureOf(term, this.#deps.fleet, jobId)
    } catch {
      return // an ended job that is about to go on under its id is nowhere for a moment
    }
    const news = changes(topic.picture, picture)
    topic.picture = picture
    for (const { event, data } of news) this.#toAll(topic, frame(event, data, this.#id(term)))
  }

  #toAll(topic: Topic, text: string): void {
    for (const out of topic.clients) this.#write(out, text)
  }

  /** What waits is at most the bound and one event. */
  #write(out: Out, text: string): void {
    if (out.destroyed) return
    if (out.writableLength > this.#options.waitingBytesMax) out.destroy()
    else out.write(text)
  }

  #left(topic: Topic, out: Out): void {
    topic.clients.delete(out)
    if (topic.clients.size > 0 || this.#topics.get(topic.jobId ?? '') !== topic) return
    topic.stop()
    this.#topics.delete(topic.jobId ?? '')
  }

  #id(term: LiveTerm): string {
    return `${term.generation}-${term.notices.serial}`
  }
}

const concerns = (notice: Notice, jobId: JobId | null): boolean => jobId === null || notice.jobId === jobId

const frame = (event: string, data: string, id: string): string => `event: ${event}\nid: ${id}\ndata: ${data}\n\n`

const noticeFrame = ({ generation }: LiveTerm, notice: Notice): string => {
  const { serial, ...told } = notice
  return frame('notice', JSON.stringify(told), `${generation}-${serial}`)
}

/** Null: of another leader, or none of ours. */
function serialIn(id: string, generation: number): number | null {
  const [, of, serial] = /^(\d{1,16})-(\d{1,16})$/.exec(id) ?? []
  return Number(of) === generation ? Number(serial) : null
}
