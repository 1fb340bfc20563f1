/** What receipts say was read, beside what is there. */
import { RunDigest, firstDifference, type Hashes, type InputRange } from '../receipt.ts'
import type { StoredRecord } from '../topics.ts'
import type { Chain, VerifyDeps } from './chains.ts'
import { FINDINGS_MAX, found, type Finding } from './finding.ts'

/** Each sink names what its sources have read; it is compared for each on its own, and a record that several name is counted once. */
export async function verifyInputs(
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
      const slash = place.indexOf('/')
      return new InputReader({ sink: place.slice(0, slash), split: place.slice(slash + 1) }, ranges, deps.hashes)
    })
    const fitting = new Map<string, number>()
    for await (const record of deps.topics.read(topic)) for (const reader of readers) reader.take(record)
    for (const reader of readers) {
      reader.end()
      findings.push(...reader.findings)
      fitting.set(reader.split, Math.max(fitting.get(reader.split) ?? 0, reader.records))
    }
    for (const count of fitting.values()) records += count
  }
  return { records, findings }
}

/** Follows the ranges one sink names of one partition of one source. */
class InputReader {
  readonly findings: Finding[] = []
  records = 0
  /** `source/partition` */
  readonly split: string
  readonly #sink: string
  readonly #ranges: readonly InputRange[]
  readonly #hashes: Hashes
  #at = 0
  #digest: RunDigest
  #offsets: number[] = []

  constructor(
    { sink, split }: { readonly sink: string; readonly split: string },
    ranges: readonly InputRange[],
    hashes: Hashes,
  ) {
    this.#sink = sink
    this.split = split
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
