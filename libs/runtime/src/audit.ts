/**
 * The receipts of one slice: digests of what its sources have read and its sinks have written since the last barrier, and
 * the chain of each sink subtask (libs/dataflow/src/receipt.ts).
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  RECEIPT,
  RunDigest,
  receiptBytes,
  type AuditPlan,
  type GraphNode,
  type Hashes,
  type InputRange,
  type RunSummary,
  type SinkAudit,
  type SinkState,
  type SourceBatch,
} from '@weir/dataflow'
import type { AsideRecord, AttemptId, CheckpointId, Epoch, JobId, Subtask, TopicRecord } from '@weir/model'

export interface AuditOptions {
  readonly plan: AuditPlan
  readonly nodes: readonly GraphNode[]
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly subtask: Subtask
  /** ms since 1970. */
  readonly now: () => number
}

const hashes: Hashes = { sha256: (bytes) => hash('sha256', bytes, 'hex'), crc32: (bytes) => crc32(bytes) }

/** What one source has read of one split since its last barrier. */
interface OpenRange {
  readonly from: number
  to: number
  readonly digest: RunDigest
}
interface ReadRange {
  readonly epoch: Epoch
  readonly range: InputRange
}

export class Audit {
  readonly #options: AuditOptions
  /** By source, then by split. */
  readonly #reading = new Map<number, Map<number, OpenRange>>()
  readonly #sinks = new Map<number, ReceiptChain>()

  constructor(options: AuditOptions) {
    this.#options = options
    for (const node of options.plan.sources.keys()) this.#sinks.set(node, new ReceiptChain(options, node))
  }

  /** Of a sink node of this slice. */
  sink(node: number): SinkAudit {
    return this.#sinks.get(node)!
  }

  restore(uid: string, state: SinkState | null): void {
    this.#chain(uid).previous = state?.receipt ?? null
  }

  /** Hash of the newest receipt; undefined before the first. */
  newest(uid: string): string | undefined {
    return this.#chain(uid).previous ?? undefined
  }

  /** Records a source hands out; of sources that make them themselves there is nothing to compare with later. */
  read(source: number, batch: SourceBatch): void {
    if (batch.kind === 'values') return
    const { raw, split } = batch
    let splits = this.#reading.get(source)
    if (splits === undefined) this.#reading.set(source, (splits = new Map<number, OpenRange>()))
    let open = splits.get(split)
    if (open === undefined) splits.set(split, (open = { from: raw.offsets[0]!, to: 0, digest: new RunDigest(hashes) }))
    for (let i = 0; i < raw.count; i++) open.digest.addRaw(raw, i)
    open.to = raw.offsets[raw.count - 1]! + 1
  }

  /** The barrier has passed a source: what it has read is named by the next receipt of each sink behind it. */
  barrier(source: number, { epoch }: CheckpointId): void {
    const { uid, descriptor } = this.#options.nodes[source] as GraphNode & { readonly kind: 'source' }
    for (const [partition, { from, to, digest }] of this.#reading.get(source) ?? []) {
      const range = { source: uid, topic: String(descriptor['topic']), partition, from, to, ...digest.summary() }
      for (const [sink, sources] of this.#options.plan.sources)
        if (sources.includes(source)) this.#sinks.get(sink)!.inputs.push({ epoch, range })
    }
    this.#reading.delete(source)
  }

  #chain(uid: string): ReceiptChain {
    return [...this.#sinks.values()].find((sink) => sink.uid === uid)!
  }
}

class ReceiptChain implements SinkAudit {
  readonly #options: AuditOptions
  readonly uid: string
  previous: string | null = null
  /** Read and not named by a receipt yet, in the order of the barriers. */
  inputs: ReadRange[] = []
  /** By `topic/partition`. */
  #outputs = new Map<string, RunDigest>()

  constructor(options: AuditOptions, node: number) {
    this.#options = options
    this.uid = options.nodes[node]!.uid
  }

  add(topic: string, partition: number, record: TopicRecord): void {
    const place = `${topic}/${partition}`
    let digest = this.#outputs.get(place)
    if (digest === undefined) this.#outputs.set(place, (digest = new RunDigest(hashes)))
    digest.add(record)
  }

  receipt(checkpoint: CheckpointId, sequence: number): AsideRecord {
    const { plan, jobId, attempt, subtask } = this.#options
    const { epoch } = checkpoint
    // A source may be ahead of this sink by a barrier: what it has read since belongs to the next receipt.
    const named = this.inputs.filter((input) => input.epoch <= epoch)
    this.inputs = this.inputs.filter((input) => input.epoch > epoch)
    const outputs: Record<string, RunSummary> = {}
    for (const [place, digest] of this.#outputs) outputs[place] = digest.summary()
    this.#outputs = new Map()
    const value = receiptBytes({
      ...{ version: 1, job: jobId, sink: this.uid, subtask, sequence, epoch },
      run: `${attempt.generation}.${attempt.attempt}`,
      outputs,
      inputs: named.map(({ range }) => range),
      previous: this.previous,
    })
    this.previous = hashes.sha256(value)
    const header = (name: string, of: string): readonly [string, Uint8Array] => [RECEIPT + name, Buffer.from(of)]
    return {
      topic: plan.topic,
      partition: subtask,
      key: Buffer.from(`${jobId}/${this.uid}/${subtask}`),
      value: Buffer.from(value),
      timestamp: this.#options.now(),
      headers: [header('job', jobId), header('sequence', String(sequence)), header('hash', this.previous)],
    }
  }
}
