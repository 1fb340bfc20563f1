/** What the audit log says of a change: that it was asked for, before anything is done, and how it ended. */
import type { JobView } from '@weir/job'
import { createHash } from 'node:crypto'

export interface AuditEntry {
  /** Of the change: its entries have the same one. */
  readonly id: string
  /** ms since 1970 */
  readonly at: number
  /** `denied`: the role does not suffice. `asked` without another one: the process died in between. */
  readonly step: 'asked' | 'done' | 'refused' | 'denied'
  readonly who: { readonly name: string; readonly role: string | null; readonly from: string }
  /** As `auth/access.ts` calls it. */
  readonly what: string
  readonly target: string
  /** As it was asked for; what is no object is `body` in one. */
  readonly wish?: object
  /** Facts of the job, null where there was none; absent where no job is changed. */
  readonly before?: object | null
  readonly after?: object | null
  readonly error?: { readonly code: string; readonly message: string }
}

/** Of the wish in an entry; larger ones are named by digest. */
const WISH_BYTES_MAX = 4 << 10

/** What changes are about, and no counts. */
export const jobFacts = ({
  state,
  generation,
  attempt,
  parallelism,
  rescalingTo,
  publishedEpoch,
}: JobView): object => ({
  ...{ state, generation, attempt, parallelism, rescalingTo, publishedEpoch },
})

/** Plans and bundles are bytes, and named by their digests anyway. */
export function wishOf(body: unknown): object | undefined {
  if (body === undefined || body === null) return undefined
  const text = JSON.stringify(body, (_, value: unknown) => (isBytes(value) ? undefined : value))
  if (text.length <= WISH_BYTES_MAX) {
    const wish = JSON.parse(text) as unknown
    return typeof wish === 'object' && wish !== null && !Array.isArray(wish) ? wish : { body: wish }
  }
  return { sha256: createHash('sha256').update(text).digest('hex'), bytes: text.length }
}

/** As JSON.stringify shows a Buffer. */
const isBytes = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
