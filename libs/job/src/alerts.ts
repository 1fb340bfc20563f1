/** What somebody should look at: raised once, told once, until it is over. */
import type { Clock } from '@weir/model'

export interface JobAlert {
  /**
   * `ARBITER_DEGRADED`: etcd is silent, head.json alone decides. `PUBLISH_UNANSWERED`: nothing about the job can be decided
   * until an arbiter answers. `CLAIM_WAITING`: a restart waits for the arbiters. `CHECKPOINTS_GIVEN_UP`: in a row.
   * `CHECKPOINTS_FAILING`: so many that the circuit is not closed.
   * `SOURCE_GAP`: a source went on behind a gap in its log; `sourceGaps` has all of them.
   * `CLAIMS_DEGRADED`: a store of claims is away, and `onUnavailable: 'local'` goes on without it: an event may pass twice.
   * `CLAIMS_LOST`: a store had forgotten claims that it had acknowledged; until it had them again an event may have passed twice.
   * `RESCALE_REVERTED`: there was no room for the wished parallelism.
   */
  readonly code:
    | 'ARBITER_DEGRADED'
    | 'PUBLISH_UNANSWERED'
    | 'CLAIM_WAITING'
    | 'CHECKPOINTS_GIVEN_UP'
    | 'CHECKPOINTS_FAILING'
    | 'SOURCE_GAP'
    | 'CLAIMS_DEGRADED'
    | 'CLAIMS_LOST'
    | 'RESCALE_REVERTED'
  /** ms since 1970. */
  readonly since: number
  readonly message: string
}

export class Alerts {
  readonly #clock: Clock
  readonly #publish: (channel: string, message: Record<string, unknown>) => void
  readonly #raised = new Map<JobAlert['code'], JobAlert>()

  constructor(clock: Clock, publish: (channel: string, message: Record<string, unknown>) => void) {
    this.#clock = clock
    this.#publish = publish
  }

  /** One that is raised already keeps its time and gets the message. */
  raise(code: JobAlert['code'], message: string): void {
    const since = this.#raised.get(code)?.since
    this.#raised.set(code, { code, since: since ?? this.#clock.now(), message })
    if (since === undefined) this.#publish('weir:job:alert', { code, message, raised: true })
  }

  calm(code: JobAlert['code']): void {
    if (this.#raised.delete(code)) this.#publish('weir:job:alert', { code, message: '', raised: false })
  }

  message(code: JobAlert['code']): string | null {
    return this.#raised.get(code)?.message ?? null
  }

  list(): readonly JobAlert[] {
    return [...this.#raised.values()]
  }
}
