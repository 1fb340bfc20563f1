/** What receipts say of one record: who read it, who wrote it, and which input that came of. Proves what `verifyJob` has found to fit. */
import { WeirError } from '@weir/model'
import type { Receipt } from '../receipt.ts'
import { readChains, type StoredReceipt, type VerifyDeps, type VerifyOptions } from './chains.ts'

export interface RecordPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** A receipt without what it holds. */
export interface ReceiptName {
  readonly sink: string
  readonly subtask: number
  readonly sequence: number
  readonly epoch: number
  /** generation.attempt that wrote it. */
  readonly run: string
  /** In the topic of the receipts. */
  readonly offset: number
}

export interface Provenance {
  /** Receipts that name it as read. It had its effect on state, and on the output of these epochs or of later ones. */
  readonly read: readonly (ReceiptName & { readonly source: string })[]
  /** The receipt of the transaction it was written in. */
  readonly written: ReceiptName | null
  /** `topic/partition` → the position up to which input had been read when the epoch it was written in was cut. */
  readonly madeOf: Readonly<Record<string, number>> | null
}

/** Throws as `Topics`; `RECORD_NOT_FOUND` (invalid) where there is no committed record. */
export async function provenanceOf(at: RecordPlace, options: VerifyOptions, deps: VerifyDeps): Promise<Provenance> {
  const transaction = await transactionOf(at, deps)
  const chains = await readChains(options, deps)
  const all = [...chains.values()].flat()
  const read = all.flatMap((stored) => {
    const range = stored.receipt.inputs.find(
      ({ topic, partition, from, to }) =>
        topic === at.topic && partition === at.partition && from <= at.offset && at.offset < to,
    )
    return range === undefined ? [] : [{ ...nameOf(stored), source: range.source }]
  })
  const writer = all.find((stored) => stored.transaction === transaction && outputsIn(stored.receipt, at) > 0)
  if (writer === undefined) return { read, written: null, madeOf: null }
  return { read, written: nameOf(writer), madeOf: inputsUpTo(all, writer.receipt.epoch) }
}

async function transactionOf({ topic, partition, offset }: RecordPlace, { topics }: VerifyDeps): Promise<string> {
  for await (const record of topics.read(topic, { partition, offset })) {
    if (record.partition === partition && record.offset === offset) return record.transaction
    break
  }
  throw new WeirError(
    { code: 'RECORD_NOT_FOUND', kind: 'invalid', topic, partition, offset },
    `${topic}/${partition}@${offset}: no committed record is there: it was aborted, a transaction's marker, compacted, or deleted by the topic's retention`,
  )
}

const nameOf = ({ receipt, offset }: StoredReceipt): ReceiptName => {
  const { sink, subtask, sequence, epoch, run } = receipt
  return { sink, subtask, sequence, epoch, run, offset }
}

const outputsIn = ({ outputs }: Receipt, { topic, partition }: RecordPlace): number =>
  outputs[`${topic}/${partition}`]?.records ?? 0

/** Behind a shuffle the input of any subtask may have had a part in it. */
function inputsUpTo(all: readonly StoredReceipt[], epoch: number): Record<string, number> {
  const upTo = new Map<string, number>()
  for (const { receipt } of all)
    if (receipt.epoch <= epoch)
      for (const { topic, partition, to } of receipt.inputs) {
        const place = `${topic}/${partition}`
        upTo.set(place, Math.max(upTo.get(place) ?? 0, to))
      }
  return Object.fromEntries([...upTo].sort(([a], [b]) => (a < b ? -1 : 1)))
}
