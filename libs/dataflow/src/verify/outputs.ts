/** What receipts say was written, beside what is there: by partition, by transaction. */
import { DEAD } from '../dead-letter.ts'
import { RunDigest, firstDifference, type Receipt, type RunSummary } from '../receipt.ts'
import { REPLAYED } from '../replay.ts'
import type { StoredRecord, Topics } from '../topics.ts'
import { readChains, said, type Chain, type VerifyDeps, type VerifyOptions } from './chains.ts'
import { FINDINGS_MAX, found, type Finding } from './finding.ts'

/** How often a place that does not fit is looked at, while the job may be running. */
const LOOKS = 4

interface Place {
  readonly topic: string
  readonly partition: number
}

/** What receipts say of one topic: by partition, by transaction. */
type Expected = Map<number, Map<string, { readonly summary: RunSummary; readonly receipt: Receipt }>>

export async function verifyOutputs(
  options: VerifyOptions,
  deps: VerifyDeps,
  chains: ReadonlyMap<string, Chain>,
): Promise<{ readonly records: number; readonly findings: readonly Finding[] }> {
  const expected = new Map<string, Expected>()
  for (const { receipt, transaction } of [...chains.values()].flat()) {
    for (const [place, summary] of Object.entries(receipt.outputs)) {
      const slash = place.lastIndexOf('/')
      const [topic, partition] = [place.slice(0, slash), Number(place.slice(slash + 1))]
      const partitions = expected.get(topic) ?? new Map<number, Map<string, never>>()
      expected.set(topic, partitions)
      const transactions = partitions.get(partition) ?? new Map<string, never>()
      partitions.set(partition, transactions)
      transactions.set(transaction, { summary, receipt } as never)
    }
  }
  const findings: Finding[] = []
  let records = 0
  for (const [topic, partitions] of expected) {
    const found = await verifyTopic(topic, partitions, options, deps)
    findings.push(...found.findings)
    records += found.records
  }
  return { records, findings }
}

async function verifyTopic(
  topic: string,
  expected: Expected,
  options: VerifyOptions,
  deps: VerifyDeps,
): Promise<{ readonly records: number; readonly findings: readonly Finding[] }> {
  for (let look = 1; ; look++) {
    const seen = await lookAtTopic(topic, expected, options, deps)
    // Receipts that came since we read them: what they name is not without one.
    const late =
      seen.unknown.length > 0
        ? new Set([...(await readChains(options, deps)).values()].flat().map((r) => r.transaction))
        : null
    const unknown = seen.unknown.filter((record) => !late?.has(record.transaction))
    const incomplete = seen.differing.some(({ got, summary }) => got.records < summary.records)
    if (look < LOOKS && (incomplete || unknown.length > 0)) {
      await deps.settle()
      continue
    }
    const findings = await Promise.all(seen.differing.map((one) => outputFinding(topic, one, deps)))
    for (const { partition, offset, transaction } of options.shared.includes(topic) ? [] : unknown) {
      const text = `${topic}-${partition}, offset ${offset}: no receipt names this record. It was written by somebody else, or its receipt was dropped`
      findings.push(found('OUTPUT_WITHOUT_RECEIPT', text, { topic, partition, offset, transaction }))
    }
    return { records: seen.records, findings }
  }
}

interface Differing {
  readonly partition: number
  readonly transaction: string
  readonly summary: RunSummary
  readonly got: RunSummary
  readonly receipt: Receipt
}

async function lookAtTopic(
  topic: string,
  expected: Expected,
  { jobId }: VerifyOptions,
  { topics, hashes }: VerifyDeps,
): Promise<{
  readonly records: number
  readonly differing: readonly Differing[]
  readonly unknown: readonly StoredRecord[]
}> {
  const unknown: StoredRecord[] = []
  const got = new Map<number, Map<string, RunDigest>>()
  for await (const record of topics.read(topic)) {
    const { partition, transaction } = record
    if (expected.get(partition)?.has(transaction)) {
      const digests = got.get(partition) ?? new Map<string, RunDigest>()
      got.set(partition, digests)
      const digest = digests.get(transaction) ?? new RunDigest(hashes)
      digests.set(transaction, digest)
      digest.add(record)
    } else if (unknown.length < FINDINGS_MAX && !isOthers(record, jobId)) unknown.push(record)
  }
  let records = 0
  const differing: Differing[] = []
  const nothing = new RunDigest(hashes).summary()
  for (const [partition, transactions] of expected) {
    for (const [transaction, { summary, receipt }] of transactions) {
      const read = got.get(partition)?.get(transaction)?.summary() ?? nothing
      if (firstDifference(summary, read) === null) records += summary.records
      else differing.push({ partition, transaction, summary, got: read, receipt })
    }
  }
  return { records, differing, unknown }
}

/** In a topic of dead letters: another job's, and the receipts of replays, which no transaction of a sink writes. */
function isOthers({ headers }: StoredRecord, jobId: string): boolean {
  const job = said(headers, `${DEAD}job`)
  return (job !== null && job !== jobId) || said(headers, `${REPLAYED}job`) !== null
}

async function outputFinding(topic: string, of: Differing, { topics }: VerifyDeps): Promise<Finding> {
  const { partition, transaction, summary, got, receipt } = of
  const { sink, subtask, sequence, epoch } = receipt
  const facts = { topic, partition, sink, subtask, sequence, epoch, transaction }
  const of_ = `receipt ${sequence} of sink "${sink}", subtask ${subtask} (epoch ${epoch})`
  if (got.records < summary.records) {
    const text = `${topic}-${partition}: ${of_} names ${summary.records} records and ${got.records} are there: the others were taken away, or deleted by the topic's retention`
    return found('OUTPUT_MISSING', text, { ...facts, expected: summary.records, found: got.records })
  }
  const offsets = await offsetsOf(topics, { topic, partition }, transaction, firstDifference(summary, got)!)
  const where = offsets.length === 1 ? `offset ${offsets[0]}` : `offsets ${offsets[0]} to ${offsets.at(-1)}`
  const text = `${topic}-${partition}, ${where}: not what ${of_} says was written`
  return found('OUTPUT_TAMPERED', text, {
    ...facts,
    offsets: offsets.length <= 2 ? offsets : [offsets[0], offsets.at(-1)],
  })
}

/** Offsets of the records [from, to) of a transaction in one partition. */
async function offsetsOf(
  topics: Topics,
  { topic, partition }: Place,
  transaction: string,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<number[]> {
  const offsets: number[] = []
  let at = 0
  for await (const record of topics.read(topic, { partition, offset: 0 })) {
    if (record.partition !== partition) break
    if (record.transaction !== transaction) continue
    if (at >= from && at < to) offsets.push(record.offset)
    at++
  }
  return offsets
}
