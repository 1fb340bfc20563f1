/** Answers that are kept under the key of their request, so that asking again gives the same: where every leader finds them. */
import { WeirError } from '@weir/model'
import type { ClassicLevel } from 'classic-level'
import type { Etcd3 } from 'etcd3'
import { randomInt } from 'node:crypto'
import { etcdUnavailable } from './etcd.ts'

export interface KeptText {
  readonly text: string
  /** Opaque. */
  readonly revision: string
}

/** Keys are at most 128 hex digits, texts `ANSWER_BYTES_MAX`. Throws kind `retry` when the store is away. */
export interface AnswerStore {
  get(key: string): Promise<KeptText | null>
  /**
   * Only where `expected` still stands (null: where nothing does). A text is forgotten `ANSWER_TTL_SECONDS` after its key was made.
   * Throws `ANSWERS_FULL` (retry).
   * @returns null when somebody else was there first
   */
  swap(key: string, text: string, expected: string | null): Promise<KeptText | null>
  delete(key: string, expected: string): Promise<void>
}

export const ANSWER_TTL_SECONDS = 24 * 60 * 60
export const ANSWER_BYTES_MAX = 64 << 10
/** With the bytes of each: what they take of etcd's quota. */
export const ANSWERS_MAX = 4_000

const full = (): WeirError =>
  new WeirError(
    { code: 'ANSWERS_FULL', kind: 'retry', max: ANSWERS_MAX },
    `${ANSWERS_MAX} answers are kept under an Idempotency-Key at present, each for ${ANSWER_TTL_SECONDS / 3_600} h: ask without a key, or later`,
  )

export class EtcdAnswerStore implements AnswerStore {
  readonly #client: Etcd3
  readonly #prefix: string

  constructor(client: Etcd3, cluster: string) {
    this.#client = client
    this.#prefix = `/weir/${cluster}/answers/`
  }

  async get(key: string): Promise<KeptText | null> {
    try {
      const kv = (await this.#client.get(this.#prefix + key).exec()).kvs[0]
      return kv === undefined ? null : { text: kv.value.toString(), revision: kv.mod_revision }
    } catch (error) {
      throw etcdUnavailable('looking for a kept answer', error)
    }
  }

  async swap(key: string, text: string, expected: string | null): Promise<KeptText | null> {
    const path = this.#prefix + key
    try {
      const put = this.#client.put(path).value(text)
      if (expected === null) {
        if ((await this.#client.getAll().prefix(this.#prefix).count()) >= ANSWERS_MAX) throw full()
        const ID = String(randomInt(1, 2 ** 47)) // as the election's: numbers that JavaScript can hold
        await this.#client.leaseClient.leaseGrant({ ID, TTL: ANSWER_TTL_SECONDS })
        put.lease(ID)
      } else put.ignoreLease()
      const answer = await this.#client
        .if(path, 'Mod', '==', Number(expected ?? 0))
        .then(put)
        .commit()
      return answer.succeeded ? { text, revision: answer.header.revision } : null
    } catch (error) {
      throw etcdUnavailable('keeping an answer', error)
    }
  }

  async delete(key: string, expected: string): Promise<void> {
    const path = this.#prefix + key
    try {
      await this.#client.if(path, 'Mod', '==', Number(expected)).then(this.#client.delete().key(path)).commit()
    } catch (error) {
      throw etcdUnavailable('forgetting an answer', error)
    }
  }
}

interface Row {
  readonly text: string
  readonly revision: number
  /** ms since 1970 */
  readonly until: number
}

/** One process has the folder, so that turns are enough. */
export class EmbeddedAnswerStore implements AnswerStore {
  readonly #db: ClassicLevel<string, string>
  readonly #now: () => number
  #turn: Promise<unknown> = Promise.resolve()

  constructor(db: ClassicLevel<string, string>, now: () => number) {
    this.#db = db
    this.#now = now
  }

  async get(key: string): Promise<KeptText | null> {
    const row = await this.#row(key)
    return row && { text: row.text, revision: String(row.revision) }
  }

  swap(key: string, text: string, expected: string | null): Promise<KeptText | null> {
    return this.#inTurn(async () => {
      const row = await this.#row(key)
      if (String(row?.revision ?? null) !== String(expected)) return null
      if (row === null) await this.#makeRoom()
      const until = row?.until ?? this.#now() + ANSWER_TTL_SECONDS * 1_000
      const next: Row = { text, revision: (row?.revision ?? 0) + 1, until }
      await this.#db.put(`answer/${key}`, JSON.stringify(next), { sync: true })
      return { text, revision: String(next.revision) }
    })
  }

  delete(key: string, expected: string): Promise<void> {
    return this.#inTurn(async () => {
      if (String((await this.#row(key))?.revision) === expected) await this.#db.del(`answer/${key}`)
    })
  }

  async #row(key: string): Promise<Row | null> {
    const text = await this.#db.get(`answer/${key}`)
    const row = text === undefined ? null : (JSON.parse(text) as Row)
    return row !== null && row.until > this.#now() ? row : null
  }

  async #makeRoom(): Promise<void> {
    const rows = await this.#db.iterator({ gte: 'answer/', lt: 'answer0' }).all()
    const over = rows.filter(([, text]) => (JSON.parse(text) as Row).until <= this.#now())
    await this.#db.batch(over.map(([key]) => ({ type: 'del', key })))
    if (rows.length - over.length >= ANSWERS_MAX) throw full()
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(call)
    this.#turn = next.catch(() => undefined)
    return next
  }
}
