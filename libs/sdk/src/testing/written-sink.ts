/** Writes into `WrittenTopics` with the sink's own codec, in two phases like every sink. */
import {
  EMPTY_SINK_STATE,
  OutputView,
  encodeFailed,
  outputHeaders,
  type HandleProof,
  type PreparedHandle,
  type SinkAsides,
  type SinkNode,
  type SinkState,
  type SubtaskContext,
  type TwoPhaseSink,
} from '@weir/dataflow'
import { type AsideRecord, type RecordBatch } from '@weir/model'
import type { Transaction, WrittenTopics } from './written-topics.ts'

export interface WrittenSinkDeps {
  readonly topics: WrittenTopics
  readonly context: SubtaskContext
  readonly asides: SinkAsides | null
}

export class WrittenSink implements TwoPhaseSink {
  readonly #node: SinkNode
  readonly #topic: string
  readonly #topics: WrittenTopics
  readonly #asides: SinkAsides | null
  readonly #owner: string
  readonly #output: OutputView
  #open: Transaction | null = null
  #records = 0
  #sequence = 0
  #handles: readonly PreparedHandle[] = []

  constructor(node: SinkNode, { topics, context, asides }: WrittenSinkDeps) {
    this.#node = node
    this.#output = new OutputView(node.keyOf ?? null)
    this.#topic = outputOf(node)
    this.#topics = topics
    this.#asides = asides
    this.#owner = `${node.uid}/${context.subtask}`
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#open !== null, prepared: this.#handles.length }
  }

  recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    const { sequence, handles } = restored ?? EMPTY_SINK_STATE
    this.#sequence = sequence
    this.#topics.resolve(this.#owner, new Set(handles.map((handle) => handle.sequence)))
    return Promise.resolve(
      handles.map((handle) => ({ sequence: handle.sequence, outcome: 'committed', by: 'end-txn' })),
    )
  }

  write(batch: RecordBatch): undefined {
    const { values, timestamps } = batch
    for (let i = 0; i < values.length; i++) {
      try {
        const output = this.#output.at(batch, i)
        const of = output.key
        const key = of === null ? null : bytesOf(this.#node.encodeKey(of))
        const value = bytesOf(this.#node.encodeValue(values[i], output))
        const headers = outputHeaders(this.#node.encodeHeaders, values[i], output)
        this.#append(this.#topic, { key, value, timestamp: timestamps[i]!, headers })
      } catch (error) {
        const failed = encodeFailed(error, this.#node.uid, batch, i)
        if (this.#asides === null) throw failed
        this.#asides.refuse(batch, i, failed)
      }
    }
  }

  writeAside(records: readonly AsideRecord[]): undefined {
    for (const record of records) this.#append(record.topic, record)
  }

  prepare(): Promise<SinkState> {
    if (this.#open !== null) {
      this.#open.state = 'prepared'
      this.#sequence = this.#open.sequence
      const place = { transactionalId: this.#owner, producerId: '0', producerEpoch: 0, firstOffsets: {} }
      this.#handles = [...this.#handles, { ...place, sequence: this.#sequence, records: this.#records }]
      this.#open = null
      this.#records = 0
    }
    return Promise.resolve({ sequence: this.#sequence, handles: this.#handles })
  }

  commit(upTo: number): Promise<void> {
    this.#topics.commit(this.#owner, upTo)
    this.#handles = this.#handles.filter(({ sequence }) => sequence > upTo)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #append(topic: string, record: AsideRecord | Parameters<WrittenTopics['append']>[1]): void {
    this.#open ??= this.#topics.begin(this.#owner, this.#sequence + 1)
    this.#records++
    this.#topics.append(topic, record, this.#open)
  }
}

/** Its topic; of a sink without one, its uid. */
export const outputOf = ({ descriptor, uid }: Pick<SinkNode, 'descriptor' | 'uid'>): string =>
  typeof descriptor['topic'] === 'string' ? descriptor['topic'] : uid

const bytesOf = (encoded: string | Uint8Array | null): Uint8Array | null =>
  typeof encoded === 'string' ? Buffer.from(encoded) : encoded
