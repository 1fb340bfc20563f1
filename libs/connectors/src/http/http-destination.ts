/**
 * Requests to an HTTP endpoint, one per record, in order, when their epoch is published. HTTP has no transactions, so what
 * is promised is this and no more:
 *
 * - nothing is sent before its epoch is published, and then everything is, at least once and in the order of the subtask
 * - a record has one Idempotency-Key for ever (`job/sink/subtask/generation.attempt/transaction/n`), however often and by
 *   whichever instance it is sent: a receiver that honours the key has the effect once
 * - a receiver that does not may see records again after a failure: at most those of the transactions in flight
 */
import { OutputView, type Encode, type SubtaskContext } from '@weir/dataflow'
import { WeirError, isSecretReference, type RecordBatch } from '@weir/model'
import { setTimeout as sleep } from 'node:timers/promises'
import { redacted, secretOf } from '../secrets.ts'
import type { Destination, StagedTransaction } from '../staged/destination.ts'
import type { HttpSinkOptions } from './options.ts'

const REQUEST_MS = 30_000
/** What a receiver may ask for by Retry-After; the pauses between tries come on top. */
const RETRY_AFTER_MS_MAX = 10_000
const ANSWER_SHOWN_MAX = 200
/** The request may be sent again: too slow, too early, too many; 409: one with the same key is being processed. */
const AGAIN = [408, 409, 425, 429]
const KEY_REUSED = 422
const PAYLOAD_EMPTY = new Uint8Array()

export class HttpDestination implements Destination {
  readonly name: string
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #method: string
  readonly #encode: Encode
  readonly #context: SubtaskContext
  readonly #output = new OutputView()
  readonly #closing = new AbortController()
  /** How far this instance has come with a transaction that it may have to begin again. */
  #delivered = { sequence: 0, records: 0 }

  /** Throws `SECRET_MISSING` (invalid). */
  constructor(options: HttpSinkOptions, encode: Encode, context: SubtaskContext) {
    const { url, method, contentType, authorization } = options
    const { operatorUid } = context
    this.#url = isSecretReference(url) ? secretOf(url, operatorUid) : url
    this.name = `endpoint ${url}`
    this.#method = method
    this.#headers = {
      'content-type': contentType,
      ...(authorization !== null && { authorization: secretOf(authorization, operatorUid) }),
    }
    this.#encode = encode
    this.#context = context
  }

  encode(batch: RecordBatch, i: number): Uint8Array {
    const encoded = this.#encode(batch.values[i], this.#output.at(batch, i))
    return typeof encoded === 'string' ? Buffer.from(encoded) : (encoded ?? PAYLOAD_EMPTY)
  }

  /** The receiver keeps no marker. */
  take(): Promise<'unmarked'> {
    return Promise.resolve('unmarked')
  }

  initialise(): Promise<void> {
    return Promise.resolve()
  }

  async apply({ handle, rows }: StagedTransaction): Promise<void> {
    const { jobId, operatorUid, subtask } = this.#context
    const { sequence, producerId, producerEpoch } = handle
    const owner = `${jobId}/${encodeURIComponent(operatorUid)}/${subtask}/${producerId}.${producerEpoch}/${sequence}`
    if (this.#delivered.sequence !== sequence) this.#delivered = { sequence, records: 0 }
    let n = 0
    for await (const run of rows()) {
      for (const body of run) {
        if (n >= this.#delivered.records) {
          await this.#send(`${owner}/${n}`, body)
          this.#delivered.records = n + 1
        }
        n++
      }
    }
  }

  close(): Promise<void> {
    this.#closing.abort()
    return Promise.resolve()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  async #send(key: string, body: Buffer): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(REQUEST_MS), this.#closing.signal, this.#context.signal])
    let answer: Response
    try {
      const headers = { ...this.#headers, 'idempotency-key': key }
      // A redirect would be followed without the body, or to a place nobody has named.
      answer = await fetch(this.#url, { method: this.#method, headers, body, signal, redirect: 'manual' })
    } catch (cause) {
      const { message, cause: deeper } = cause as Error
      const why = redacted(deeper instanceof Error ? deeper.message : message)
      throw new WeirError({ code: 'HTTP_AWAY', kind: 'retry', key }, `${this.name}: ${why}`, { cause })
    }
    if (answer.ok) {
      // Read to its end, or the connection is not used again.
      await answer.arrayBuffer().catch(() => undefined)
      return
    }
    // Some repeat what they were sent.
    const text = redacted(await answer.text().catch(() => '')).slice(0, ANSWER_SHOWN_MAX)
    throw await this.#refused(answer, key, text)
  }

  async #refused({ status, headers }: Response, key: string, text: string): Promise<WeirError> {
    const facts = { status, key, answer: text }
    if (status >= 500 || AGAIN.includes(status)) {
      await this.#pause(headers.get('retry-after'))
      return new WeirError({ code: 'HTTP_AWAY', kind: 'retry', ...facts }, `${this.name} answered ${status}: ${text}`)
    }
    if (status === KEY_REUSED) {
      return new WeirError(
        { code: 'IDEMPOTENCY_KEY_REUSED', kind: 'invalid', ...facts },
        `${this.name} answered 422 to ${key}: ${text}. It has this key with another body, or refuses the body. A record’s body is the same whenever it is sent: does another system use these keys?`,
      )
    }
    return new WeirError(
      { code: 'REQUEST_REFUSED', kind: 'invalid', ...facts },
      `${this.name} answered ${status} to ${key}: ${text}. The record’s epoch is published, so it is not thrown away: make the endpoint take it, and start the job again; it goes on with this record`,
    )
  }

  /** What the receiver asks for, in seconds, within a bound. */
  async #pause(retryAfter: string | null): Promise<void> {
    const ms = Math.min(RETRY_AFTER_MS_MAX, Number(retryAfter ?? 0) * 1_000)
    if (!(ms > 0)) return
    await sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }
}
