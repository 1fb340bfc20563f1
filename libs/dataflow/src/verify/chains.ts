/** The receipts of a job, as they lie in their topic: a chain for each sink subtask. */
import type { AsideRecord } from '@weir/model'
import { RECEIPT, type Hashes, type Receipt } from '../receipt.ts'
import type { Topics } from '../topics.ts'
import { FINDINGS_MAX, found, type Finding } from './finding.ts'

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

export interface StoredReceipt {
  readonly receipt: Receipt
  readonly hash: string
  readonly transaction: string
  readonly offset: number
}
export type Chain = readonly StoredReceipt[]

/** By `sink/subtask`, in the order of their sequences. */
export async function readChains(
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

/** What is missing, there twice, or not what the next one followed. */
export function chainFindings(chain: Chain): Finding[] {
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

export function said(headers: AsideRecord['headers'], name: string): string | null {
  const value = headers.find(([n]) => n === name)?.[1]
  return value ? Buffer.from(value).toString() : null
}
