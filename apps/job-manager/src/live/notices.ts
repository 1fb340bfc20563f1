/** What happened in a term that people may want to hear of: the last ones, numbered, and whoever listens. */
import type { Cancel, Clock } from '@weir/model'

export interface Notice {
  /** From 1, without a gap. */
  readonly serial: number
  /** ms since 1970 */
  readonly at: number
  readonly channel: string
  /** Null: of no job. */
  readonly jobId: string | null
  readonly message: Readonly<Record<string, unknown>>
}

/** Kept for those who come back. */
export const NOTICES_KEPT = 1_000

/** Not what comes with every epoch: checkpoints are told as they are, see `picture.ts`. */
const TOLD: ReadonlySet<string> = new Set([
  'weir:checkpoint:circuit',
  'weir:checkpoint:given-up',
  'weir:checkpoint:late',
  'weir:job:alert',
  'weir:job:region-failed',
  'weir:job:region-restarted',
  'weir:job:rescaled',
  'weir:job:restarted',
  'weir:job:state',
  'weir:ledger:ended',
  'weir:ledger:failed',
  'weir:savepoint:complete',
  'weir:savepoint:failed',
  'weir:sink:healed',
  'weir:source:gap',
  'weir:sweep:failed',
])

export class Notices {
  readonly #clock: Pick<Clock, 'now'>
  readonly #kept: Notice[] = []
  readonly #listeners = new Set<(notice: Notice) => void>()
  #serial = 0

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Of the newest; 0: there was none. */
  get serial(): number {
    return this.#serial
  }

  add(channel: string, { jobId, ...message }: Readonly<Record<string, unknown>>): void {
    if (!TOLD.has(channel)) return
    const of = typeof jobId === 'string' ? jobId : null
    const notice: Notice = { serial: ++this.#serial, at: this.#clock.now(), channel, jobId: of, message }
    this.#kept.push(notice)
    if (this.#kept.length > NOTICES_KEPT) this.#kept.shift()
    for (const listener of this.#listeners) listener(notice)
  }

  /** Behind `serial`, oldest first; `missed`: there were more than are kept. */
  since(serial: number): { readonly notices: readonly Notice[]; readonly missed: boolean } {
    const oldest = this.#kept[0]?.serial ?? this.#serial + 1
    return { notices: this.#kept.filter((notice) => notice.serial > serial), missed: serial + 1 < oldest }
  }

  listen(listener: (notice: Notice) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
