/** What became of a transaction, by the log itself: its first control record behind the transaction's first record. */
import type { OutcomeFacts, PreparedHandle } from '@weir/dataflow'
import type { KafkaConnections } from './connections.ts'
import { fetchRecords, listOffsets } from './wire/apis.ts'
import { refused } from './wire/errors.ts'
import { readBatches } from './wire/read-batches.ts'

type Control = OutcomeFacts['control']

const PROOF_FETCH_BYTES = 1 << 20

export class ControlRecords {
  readonly #kafka: KafkaConnections
  readonly #signal: AbortSignal

  constructor(kafka: KafkaConnections, signal: AbortSignal) {
    this.#kafka = kafka
    this.#signal = signal
  }

  /** The first partition that still holds the transaction answers for it. */
  async of(handle: PreparedHandle): Promise<Control> {
    let found: 'none' | 'gone' = 'gone'
    for (const [place, first] of Object.entries(handle.firstOffsets)) {
      const dash = place.lastIndexOf('-')
      const [topic, partition] = [place.slice(0, dash), Number(place.slice(dash + 1))]
      const control = await this.#in(topic, partition, BigInt(first), BigInt(handle.producerId))
      if (control === 'commit' || control === 'abort') return control
      if (control === 'none') found = 'none'
    }
    return found
  }

  /** Reads uncommitted from the first record of the producer's transaction. */
  async #in(topic: string, partition: number, first: bigint, producerId: bigint): Promise<Control> {
    await this.#kafka.partitions(topic) // leaders are known only of topics that were asked for
    let offset = first
    const latest = await this.#kafka.toLeader(topic, partition, listOffsets(topic, partition, -1n, false), this.#signal)
    while (offset < latest.offset) {
      const api = fetchRecords(topic, [{ partition, offset, maxBytes: PROOF_FETCH_BYTES }], {
        maxWaitMs: 100,
        readCommitted: false,
      })
      const answer = await this.#kafka.toLeader(
        topic,
        partition,
        { ...api, read: (r) => ({ ...api.read(r).partitions[0]! }) },
        this.#signal,
      )
      // Deleted, also in the middle of the search: the next control record may be another transaction's.
      if (answer.errorCode === 1 || answer.logStartOffset > first) return 'gone'
      if (answer.errorCode !== 0) throw refused('Fetch', answer.errorCode, `${topic}-${partition}`)
      const { control, nextOffset } = readBatches(answer.records ?? Buffer.alloc(0), offset, null)
      const decisive = control.find((c) => c.producerId === producerId && c.offset >= first)
      if (decisive) return decisive.type
      if (nextOffset === null || nextOffset <= offset) break
      offset = nextOffset
    }
    return 'none'
  }
}
