/**
 * Reads everything again and compares: receipts among themselves, what they say of outputs and inputs with what is there.
 * Nothing is believed but the receipts, and of these only what the next one confirms.
 */
import type { AsideRecord } from '@weir/model'
import { DEAD } from './dead-letter.ts'
import {
  RECEIPT,
  RunDigest,
  firstDifference,
  type Hashes,
  type InputRange,
  type Receipt,
  type RunSummary,
} from './receipt.ts'
import { REPLAYED } from './replay.ts'
import type { StoredRecord, Topics } from './topics.ts'

/** What does not fit. JSON. */
export interface Finding {
  readonly code:
    | 'RECEIPT_MISSING'
    | 'RECEIPT_TWICE'
    | 'RECEIPT_TAMPERED'
    | 'OUTPUT_MISSING'
    | 'OUTPUT_TAMPERED'
    | 'OUTPUT_WITHOUT_RECEIPT'
    | 'INPUT_MISSING'
    | 'INPUT_TAMPERED'
    | 'INPUT_TWICE'
    | 'INPUT_UNREAD'
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

export interface Verification {
  readonly receipts: number
  /** Records that fit their receipt. */
  readonly outputs: number
  readonly inputs: number
  readonly findings: readonly Finding[]
  /** There are more than are listed. */
  readonly more: boolean
}

export interface VerifyOptions {
  readonly jobId: string
  /** Of the receipts. */
  readonly topic: string
  /** Topics others write to as well: what has no receipt there is passed over. */
  readonly shared: readonly string[]
}

export interface VerifyDeps {
  readonly topics: Topics
  readonly hashes: Hashes
  /** A commit reaches its partitions one after the other: called before a place is looked at once more. */
  readonly settle: () => Promise<void>
}

export const FINDINGS_MAX = 100
/** How often a place that does not fit is looked at, while the job may be running. */
const LOOKS = 4

interface StoredReceipt {
  readonly receipt: Receipt
  readonly hash: string
  readonly transaction: string
  readonly offset: number
}
type Chain = readonly StoredReceipt[]

/** Throws as `Topics`; what does not fit is no error but a finding. */
export async function verifyJob(options: VerifyOptions, deps: VerifyDeps): Promise<Verification> {
  const chains = await readChains(options, deps)
  const findings: Finding[] = [...chains.values()].flatMap((chain) => chainFindings(chain))
  const outputs = await verifyOutputs(options, deps, chains)
  const inputs = await verifyInputs(options, deps, chains)
  findings.push(...outputs.findings, ...inputs.findings)
  const receipts = [...chains.values()].reduce((n, chain) => n + chain.length, 0)
  return {
    receipts,
    outputs: outputs.records,
    inputs: inputs.records,
    findings: findings.slice(0, FINDINGS_MAX),
    more: findings.length > FINDINGS_MAX,
  }
}

// ---- receipts -------------------------------------------------------------------------------------------------------

/** By `sink/subtask`, in the order of their sequences. */
async function readChains(
  { jobId, topic }: VerifyOptions,
  { topics, hashes }: VerifyDeps,
): Promise<Map<string, Chain>> {
  const chains = new Map<string, StoredReceipt[]>()
  for await (const { value, headers, transaction, offset } of topics.read(topic)) {
    if (said(headers, `${RECEIPT}job`) !== jobId) continue
    const receipt = parsed(value)
    if (receipt === null || receipt.job !== jobId) continue // a gap in its chain names it
    const name = `${receipt.sink}/${receipt.subtask}`
    const chain = chains.get(name)
    const stored = { receipt, hash: hashes.sha256(value!), transaction, offset }
    if (chain === undefined) chains.set(name, [stored])
    else chain.push(stored)
  }
  for (const chain of chains.values()) chain.sort((a, b) => a.receipt.sequence - b.receipt.sequence)
  return chains
}

function parsed(value: Uint8Array | null): Receipt | null {
  try {
    const receipt = JSON.parse(Buffer.from(value ?? []).toString()) as Receipt
    return receipt.version === 1 && Number.isSafeInteger(receipt.sequence) ? receipt : null
  } catch {
    return null
  }
}

function chainFindings(chain: Chain): Finding[] {
  const findings: Finding[] = []
  let before: StoredReceipt | null = null
  for (const one of chain) {
    const { sink, subtask, sequence, previous } = one.receipt
    const at = { sink, subtask }
    const last: number = before?.receipt.sequence ?? 0
    const who = `of sink "${sink}", subtask ${subtask}`
    if (sequence === last) {
      findings.push(found('RECEIPT_TWICE', `receipt ${sequence} ${who} is there twice`, { ...at, sequence }))
      continue
    }
    for (let missing = last + 1; missing < sequence && findings.length < FINDINGS_MAX; missing++) {
      const text = `receipt ${missing} ${who} is missing: it was dropped, or deleted by the topic's retention`
      findings.push(found('RECEIPT_MISSING', text, { ...at, sequence: missing }))
    }
    if (before !== null && sequence === last + 1 && previous !== before.hash) {
      const text = `receipt ${last} ${who} is not the one that receipt ${sequence} followed: one of the two was changed`
      findings.push(found('RECEIPT_TAMPERED', text, { ...at, sequence: last, offset: before.offset }))
    }
    before = one
  }
  return findings
}

// ---- outputs --------------------------------------------------------------------------------------------------------

interface Place {
  readonly topic: string
  readonly partition: number
}

/** What receipts say of one topic: by partition, by transaction. */
type Expected = Map<number, Map<string, { readonly summary: RunSummary; readonly receipt: Receipt }>>

async function verifyOutputs(
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

// ---- inputs ---------------------------------------------------------------------------------------------------------

/** Each sink names what its sources have read; it is compared for each on its own. */
async function verifyInputs(
  _options: VerifyOptions,
  deps: VerifyDeps,
  chains: ReadonlyMap<string, Chain>,
): Promise<{ readonly records: number; readonly findings: readonly Finding[] }> {
  const byTopic = new Map<string, Map<string, InputRange[]>>()
  for (const { receipt } of [...chains.values()].flat()) {
    for (const range of receipt.inputs) {
      const places = byTopic.get(range.topic) ?? new Map<string, InputRange[]>()
      byTopic.set(range.topic, places)
      const place = `${receipt.sink}/${range.source}/${range.partition}`
      places.set(place, [...(places.get(place) ?? []), range])
    }
  }
  const findings: Finding[] = []
  let records = 0
  for (const [topic, places] of byTopic) {
    const readers = [...places].map(([place, ranges]) => {
      return new InputReader(place.slice(0, place.indexOf('/')), ranges, deps.hashes)
    })
    for await (const record of deps.topics.read(topic)) for (const reader of readers) reader.take(record)
    for (const reader of readers) {
      reader.end()
      findings.push(...reader.findings)
      records += reader.records
    }
  }
  return { records, findings }
}

/** Follows the ranges one sink names of one partition of one source. */
class InputReader {
  readonly findings: Finding[] = []
  records = 0
  readonly #sink: string
  readonly #ranges: readonly InputRange[]
  readonly #hashes: Hashes
  #at = 0
  #digest: RunDigest
  #offsets: number[] = []

  constructor(sink: string, ranges: readonly InputRange[], hashes: Hashes) {
    this.#sink = sink
    this.#ranges = ranges.toSorted((a, b) => a.from - b.from)
    this.#hashes = hashes
    this.#digest = new RunDigest(hashes)
    this.#ranges.forEach((range, i) => {
      const before = this.#ranges[i - 1]
      if (before !== undefined && range.from < before.to) {
        this.#find('INPUT_TWICE', range, 'were read twice', { from: range.from, to: before.to })
      }
    })
  }

  take(record: StoredRecord): void {
    const { partition, offset } = record
    if (partition !== this.#ranges[0]!.partition) return
    while (this.#at < this.#ranges.length && offset >= this.#ranges[this.#at]!.to) this.#close()
    const range = this.#ranges[this.#at]
    if (range === undefined) return
    if (offset >= range.from) {
      this.#digest.add(record)
      this.#offsets.push(offset)
    } else if (this.#at > 0) {
      this.#find('INPUT_UNREAD', range, 'were not read by the job', { from: offset, to: offset + 1 })
    }
  }

  end(): void {
    while (this.#at < this.#ranges.length) this.#close()
  }

  #close(): void {
    const range = this.#ranges[this.#at++]!
    const [got, offsets] = [this.#digest.summary(), this.#offsets]
    this.#digest = new RunDigest(this.#hashes)
    this.#offsets = []
    const difference = firstDifference(range, got)
    if (difference === null) this.records += got.records
    else if (got.records < range.records) {
      const facts = { from: range.from, to: range.to, expected: range.records, found: got.records }
      this.#find('INPUT_MISSING', range, `are ${got.records} records now, and the job read ${range.records}`, facts)
    } else {
      const [from, last] = [offsets[difference.from] ?? range.from, offsets[difference.to - 1] ?? range.to - 1]
      this.#find('INPUT_TAMPERED', range, 'are not what the job read', { from, to: last + 1 })
    }
  }

  #find(code: Finding['code'], of: InputRange, what: string, facts: { from: number; to: number }): void {
    if (this.findings.length >= FINDINGS_MAX) return
    const { topic, partition, source } = of
    const text = `${topic}-${partition}, offsets ${facts.from} to ${facts.to - 1} ${what} (sink "${this.#sink}", source "${source}")`
    this.findings.push(found(code, text, { topic, partition, source, sink: this.#sink, ...facts }))
  }
}

// ---- small things ---------------------------------------------------------------------------------------------------

const found = (code: Finding['code'], message: string, facts: Record<string, unknown>): Finding => ({
  code,
  message,
  facts,
})

function said(headers: AsideRecord['headers'], name: string): string | null {
  const value = headers.find(([n]) => n === name)?.[1]
  return value ? Buffer.from(value).toString() : null
}
