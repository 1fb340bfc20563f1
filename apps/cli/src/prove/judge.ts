/**
 * What came out under crashes against what came out without any. Two runs without a crash tell whether the job puts out the same records
 * every time: then every record is counted by topic, key and value. Otherwise (sums over partitions whose order is free) the values are
 * not what two runs have in common, and outputs are counted by topic and key.
 */
import { NoDuplicate, NoLoss } from '@weir/dataflow'

export interface Output {
  readonly topic: string
  /** Null: none. */
  readonly key: string | null
  readonly value: string
}

export type Counted = 'by-value' | 'by-key'

export interface Judged {
  readonly outputs: number
  readonly lost: number
  readonly duplicates: number
  /** The first few of each. */
  readonly examples: readonly string[]
}

export class Reference {
  readonly counted: Counted
  readonly #expected: ReadonlyMap<string, number>

  /** Of two runs without a crash. */
  constructor(first: readonly Output[], second: readonly Output[]) {
    const [one, other] = [counts(first, 'by-value'), counts(second, 'by-value')]
    const isSame = one.size === other.size && [...one].every(([output, n]) => other.get(output) === n)
    this.counted = isSame ? 'by-value' : 'by-key'
    this.#expected = counts(first, this.counted)
  }

  judge(outputs: readonly Output[]): Judged {
    const [noLoss, noDuplicate] = [new NoLoss(this.#expected), new NoDuplicate(this.#expected)]
    for (const output of outputs) for (const checker of [noLoss, noDuplicate]) checker.saw(nameOf(output, this.counted))
    const [loss, duplicate] = [noLoss.verdict(), noDuplicate.verdict()]
    return {
      outputs: outputs.length,
      lost: loss.violations,
      duplicates: duplicate.violations,
      examples: [...loss.examples, ...duplicate.examples],
    }
  }
}

function counts(outputs: readonly Output[], by: Counted): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const output of outputs) found.set(nameOf(output, by), (found.get(nameOf(output, by)) ?? 0) + 1)
  return found
}

const nameOf = ({ topic, key, value }: Output, by: Counted): string =>
  [topic, key === null ? 'no key' : `key ${key}`, ...(by === 'by-value' ? [value] : [])].join(', ')
