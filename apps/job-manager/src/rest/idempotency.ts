/**
 * `Idempotency-Key` on POST: the same key with the same request gives the same answer, from whichever leader. What is not certain
 * (kind `retry`, or a fault of ours) is not kept. A leader that died in between has left a key without an answer: the next one
 * does it again, which every POST of this API bears.
 */
import { ANSWER_BYTES_MAX, type AnswerStore, type KeptText } from '@weir/metadata'
import { WeirError, asWeirError } from '@weir/model'
import { createHash } from 'node:crypto'

export interface Answer {
  readonly status: number
  readonly body: unknown
}
export interface Kept {
  readonly fingerprint: string
  /** Of the leader that began. */
  readonly generation: number
  /** Null: it has not ended yet. */
  readonly answer: Answer | { readonly error: ReturnType<WeirError['toJSON']> } | null
}
export interface KeyedRequest {
  /** Of the caller: two callers do not share keys. */
  readonly caller: string
  readonly key: string
  readonly method: string
  readonly url: string
  readonly body: unknown
}

export type Decision = 'begin' | 'take-over' | 'repeat' | 'in-progress' | 'other-request'

export function decide(kept: Kept | null, fingerprint: string, generation: number): Decision {
  if (kept === null) return 'begin'
  if (kept.fingerprint !== fingerprint) return 'other-request'
  if (kept.answer !== null) return 'repeat'
  return kept.generation < generation ? 'take-over' : 'in-progress'
}

export const IDEMPOTENCY_KEY = /^"?[\w.:-]{1,128}"?$/

/** Null: there is none. Throws `IDEMPOTENCY_KEY_INVALID` (invalid). */
export function keyIn(header: string | readonly string[] | undefined): string | null {
  if (header === undefined) return null
  const text = String(header)
  if (IDEMPOTENCY_KEY.test(text)) return text.replaceAll('"', '')
  throw new WeirError(
    { code: 'IDEMPOTENCY_KEY_INVALID', kind: 'invalid' },
    'Idempotency-Key has 1 to 128 of letters, digits and "_.:-": a UUID will do, a new one for every request that means something new',
  )
}

/** Throws what `call` throws, also the second time; `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_IN_PROGRESS`; as `AnswerStore`. */
export async function once(
  store: AnswerStore,
  generation: number,
  request: KeyedRequest,
  call: () => Promise<Answer>,
): Promise<{ readonly answer: Answer; readonly repeated: boolean }> {
  const { caller, key, method, url, body } = request
  const name = sha256(JSON.stringify([caller, key]))
  const fingerprint = sha256(JSON.stringify([method, url, body ?? null]))
  const there = await store.get(name)
  const kept = there && (JSON.parse(there.text) as Kept)
  const decision = decide(kept, fingerprint, generation)
  if (decision === 'other-request') throw reused(key)
  if (decision === 'repeat') return { answer: answerIn(kept!), repeated: true }
  const begun: Kept = { fingerprint, generation, answer: null }
  const claimed =
    decision === 'in-progress' ? null : await store.swap(name, JSON.stringify(begun), there?.revision ?? null)
  if (claimed === null) throw inProgress(key)
  try {
    const answer = await call()
    await keep(store, name, claimed, { ...begun, answer })
    return { answer, repeated: false }
  } catch (thrown) {
    const error = asWeirError(thrown, 'INTERNAL')
    const certain = error.kind === 'invalid' || error.kind === 'fenced'
    if (certain) await keep(store, name, claimed, { ...begun, answer: { error: error.toJSON() } })
    else await store.delete(name, claimed.revision).catch(() => undefined) // else it is in progress until the next leader
    throw thrown
  }
}

/** What was done is done, whether its answer can be kept or not. */
async function keep(store: AnswerStore, name: string, { revision }: KeptText, kept: Kept): Promise<void> {
  const text = JSON.stringify(kept)
  const isSmall = Buffer.byteLength(text) <= ANSWER_BYTES_MAX
  await (isSmall ? store.swap(name, text, revision) : store.delete(name, revision)).catch(() => undefined)
}

function answerIn({ answer }: Kept): Answer {
  if ('error' in answer!) throw WeirError.fromJSON(answer.error)
  return answer!
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const reused = (key: string): WeirError =>
  new WeirError(
    { code: 'IDEMPOTENCY_KEY_REUSED', kind: 'invalid', key },
    `Idempotency-Key ${key} came with another request before: give every request a key of its own`,
  )

const inProgress = (key: string): WeirError =>
  new WeirError(
    { code: 'IDEMPOTENCY_IN_PROGRESS', kind: 'retry', key },
    `the request with Idempotency-Key ${key} is being worked on: ask again in a moment`,
  )
