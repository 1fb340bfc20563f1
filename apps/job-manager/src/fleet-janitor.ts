/** The janitor of the cluster: any task-manager that has joined. */
import type { AnswerTo, Janitor, JanitorRequest } from '@weir/job'
import { WeirError, asWeirError, type TaskManagerId } from '@weir/model'
import type { FleetServer } from '@weir/wire'

/** Bounds of one question, ms. Settling is a whole recovery. */
const TIMEOUT_MS: Readonly<Record<JanitorRequest['type'], number>> = {
  list: 10_000,
  end: 15_000,
  'dead-letters': 15_000,
  replay: 60_000,
  settle: 190_000,
  examine: 5_000,
}
/** Task-managers asked before it is given up for now: what one cannot reach, few others can. */
const ASKED_MAX = 3
/** It cannot, another one may: task-managers need not know the same servers. */
const NOT_THERE = ['CONNECTOR_UNKNOWN', 'KAFKA_NOT_CONFIGURED', 'LOG_NOT_CONFIGURED']

export class FleetJanitor implements Janitor {
  readonly #fleet: Pick<FleetServer, 'list' | 'ask'>
  #turn = 0

  constructor(fleet: Pick<FleetServer, 'list' | 'ask'>) {
    this.#fleet = fleet
  }

  async ask<R extends JanitorRequest>(request: R): Promise<AnswerTo<R>> {
    const candidates = this.#candidates()
    let last: WeirError | null = null
    for (const id of candidates.slice(0, ASKED_MAX)) {
      try {
        return await this.#fleet.ask(id, request, TIMEOUT_MS[request.type])
      } catch (thrown) {
        last = asWeirError(thrown, 'JANITOR_FAILED', 'retry')
        const verdict = last.kind === 'invalid' || last.kind === 'fenced'
        if (verdict && !NOT_THERE.includes(last.code)) throw last
      }
    }
    if (last !== null) {
      throw new WeirError(
        { code: 'JANITOR_UNANSWERED', kind: 'retry', last: last.toJSON() },
        `no task-manager could do it: ${last.message}`,
        { cause: last },
      )
    }
    throw new WeirError(
      { code: 'JANITOR_MISSING', kind: 'retry' },
      'no task-manager has joined, and only they reach the servers that hold the transactions: start one (WEIR_KAFKA_BROKERS)',
    )
  }

  /** In turn; those that are about to go come last. */
  #candidates(): TaskManagerId[] {
    const all = this.#fleet.list()
    const ids = [...all.filter((t) => !t.draining), ...all.filter((t) => t.draining)].map((t) => t.id)
    const from = ids.length === 0 ? 0 : this.#turn++ % ids.length
    return [...ids.slice(from), ...ids.slice(0, from)]
  }
}
