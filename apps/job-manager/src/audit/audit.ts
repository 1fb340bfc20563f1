/** Every change is recorded: asked for before it is made, and how it ended before it is answered. */
import { WeirError, asWeirError, type Clock, type Random } from '@weir/model'
import type { Logger } from '@weir/telemetry'
import type { Principal } from '../auth/roles.ts'
import { wishOf, type AuditEntry } from './entry.ts'
import type { AuditFile, AuditPage } from './file.ts'
import type { AuditTopic } from './topic.ts'

export interface Change {
  readonly who: Principal
  /** Address of the caller. */
  readonly from: string
  readonly what: string
  readonly target: string
  readonly wish?: unknown
  /** Facts of what is changed as it is now; undefined: there are none to tell. */
  readonly facts: () => object | null | undefined
}

export interface AuditDeps {
  /** Null: changes are told to the process log only. */
  readonly file: AuditFile | null
  /** Where the file is sent; absent: nowhere. */
  readonly topic?: AuditTopic | null
  readonly log: Pick<Logger, 'info'>
  readonly clock: Pick<Clock, 'now'>
  readonly random: Pick<Random, 'nonce'>
}

export class Audit {
  readonly #deps: AuditDeps

  constructor(deps: AuditDeps) {
    this.#deps = deps
  }

  /** Throws what `make` throws, and `AUDIT_UNWRITABLE`, `AUDIT_BEHIND` (retry): then nothing was changed. */
  async change<T>(change: Change, make: () => Promise<T>): Promise<T> {
    this.#deps.topic?.requireRoom()
    const of = this.#begin(change)
    const before = change.facts()
    const wish = wishOf(change.wish)
    await this.#append({ ...of, at: this.#deps.clock.now(), step: 'asked', ...defined({ wish, before }) })
    const end = (over: Pick<AuditEntry, 'step' | 'error'>): Promise<void> =>
      // The change stands, whether its end can be written or not; that it was asked for is on the disk.
      this.#append({ ...of, at: this.#deps.clock.now(), ...over, ...defined({ after: change.facts() }) }).catch(
        () => undefined,
      )
    try {
      const made = await make()
      await end({ step: 'done' })
      return made
    } catch (thrown) {
      const { code, message } = asWeirError(thrown, 'INTERNAL')
      await end({ step: 'refused', error: { code, message } })
      throw thrown
    }
  }

  /** The role did not suffice. */
  async denied(change: Omit<Change, 'facts'>, { code, message }: WeirError): Promise<void> {
    const entry = { ...this.#begin(change), at: this.#deps.clock.now(), step: 'denied' as const }
    await this.#append({ ...entry, error: { code, message } })
  }

  /** Throws `AUDIT_OFF` (invalid). */
  read(end: number | null, limit: number): Promise<AuditPage> {
    if (this.#deps.file !== null) return this.#deps.file.read(end, limit)
    throw new WeirError(
      { code: 'AUDIT_OFF', kind: 'invalid' },
      'this job-manager keeps no audit log, changes are in its process log: set WEIR_AUDIT_FILE',
    )
  }

  async close(): Promise<void> {
    await this.#deps.topic?.close()
    await this.#deps.file?.close()
  }

  #begin({ who, from, what, target }: Omit<Change, 'facts'>): Pick<AuditEntry, 'id' | 'who' | 'what' | 'target'> {
    return { id: this.#deps.random.nonce(), who: { name: who.name, role: who.role, from }, what, target }
  }

  async #append(entry: AuditEntry): Promise<void> {
    const { file, topic, log } = this.#deps
    log.info({ audit: entry }, `${entry.what} ${entry.step}`)
    const size = await file?.append(entry)
    if (size !== undefined) topic?.grown(size)
  }
}

const defined = <T extends object>(of: T): Partial<T> =>
  Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined)) as Partial<T>
