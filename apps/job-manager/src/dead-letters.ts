/** Dead letters of the jobs of one term, listed and replayed through a task-manager. */
import type { DeadLetter, PlanSummary, Replay, TopicCursor } from '@weir/dataflow'
import type { DeadLetterTopic, Janitor } from '@weir/job'
import { WeirError, type JobId, type Random } from '@weir/model'

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[]
  /** `partition:offset`; null: this is the last page. */
  readonly next: string | null
}

const PAGE_LETTERS = 100

export interface DeadLettersDeps {
  readonly janitor: Janitor
  readonly random: Random
  /** Throws `JOB_UNKNOWN`. */
  readonly planOf: (jobId: JobId) => PlanSummary
}

export class DeadLetters {
  readonly #deps: DeadLettersDeps

  constructor(deps: DeadLettersDeps) {
    this.#deps = deps
  }

  /**
   * At most 200, oldest first within each partition. Throws `JOB_UNKNOWN`, `DEAD_LETTERS_OFF`, `PAGE_INVALID` (invalid);
   * kind `retry` when no task-manager can ask the servers.
   */
  async list(jobId: JobId, page: { readonly from?: string; readonly limit?: number }): Promise<DeadLetterPage> {
    const from = page.from === undefined ? null : cursorIn(page.from)
    const { limit = PAGE_LETTERS } = page
    const topic = this.#topicOf(jobId)
    const { letters, next } = await this.#deps.janitor.ask({ type: 'dead-letters', ...topic, from, limit })
    return { letters, next: next && `${next.partition}:${next.offset}` }
  }

  /** `origins` null: all that can be. Throws as `list`; `PRODUCER_FENCED` when another replay has overtaken this one. */
  async replay(jobId: JobId, origins: readonly string[] | null): Promise<Replay> {
    const replayId = this.#deps.random.nonce()
    return (await this.#deps.janitor.ask({ type: 'replay', ...this.#topicOf(jobId), origins, replayId })).replay
  }

  #topicOf(jobId: JobId): DeadLetterTopic {
    const { deadLetters } = this.#deps.planOf(jobId).settings
    if (deadLetters !== null) return { connector: deadLetters.connector, topic: String(deadLetters['topic']), jobId }
    throw new WeirError(
      { code: 'DEAD_LETTERS_OFF', kind: 'invalid', jobId },
      `job "${jobId}" has no dead letters: a bad record stops it. Give it some: job(name, { deadLetters: kafka.sink(topic) }, …)`,
    )
  }
}

function cursorIn(text: string): TopicCursor {
  const [, partition, offset] = /^(\d{1,7}):(\d{1,16})$/.exec(text) ?? []
  if (offset !== undefined) return { partition: Number(partition), offset: Number(offset) }
  throw new WeirError(
    { code: 'PAGE_INVALID', kind: 'invalid', from: text },
    `"${text}" is no place in the dead letters; give the "next" of the page before`,
  )
}
