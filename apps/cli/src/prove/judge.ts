/**
 * What came out under crashes against what came out without any. Where a run puts out the same records by topic, key and value, nothing is lost
 * and nothing repeated. Otherwise a second run without a crash tells whether the job puts out the same every time: then every record is counted.
 * If it does not (sums over partitions whose order is free), the values are not what two runs have in common, and outputs are counted by topic
 * and key. Where not even their number is the same (late data), nothing can be said of them, and that is said.
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

const VARYING_MAX = 5

export class Reference {
  readonly counted: Counted
  /** Topics and keys that have another number of outputs in each run without a crash; the first few. */
  readonly varying: readonly string[]
  readonly #expected: ReadonlyMap<string, number>
  readonly #isVarying: (name: string) => boolean

  /** Of runs without a crash. `second` null: nothing has differed from the first. */
  constructor(first: readonly Output[], second: readonly Output[] | null) {
    this.counted = second === null || isSame(first, second) ? 'by-value' : 'by-key'
    const [one, other] = [counts(first, this.counted), counts(second ?? first, this.counted)]
    const varying = new Set([...one.keys(), ...other.keys()].filter((name) => one.get(name) !== other.get(name)))
    this.varying = [...varying].slice(0, VARYING_MAX)
    this.#isVarying = (name) => varying.has(name)
    this.#expected = new Map([...one].filter(([name]) => !varying.has(name)))
  }

  judge(outputs: readonly Output[]): Judged {
    const [noLoss, noDuplicate] = [new NoLoss(this.#expected), new NoDuplicate(this.#expected)]
    for (const output of outputs) {
      const name = nameOf(output, this.counted)
      if (!this.#isVarying(name)) for (const checker of [noLoss, noDuplicate]) checker.saw(name)
    }
    const [loss, duplicate] = [noLoss.verdict(), noDuplicate.verdict()]
    return {
      outputs: outputs.length,
      lost: loss.violations,
      duplicates: duplicate.violations,
      examples: [...loss.examples, ...duplicate.examples],
    }
  }
}

/** By topic, key and value, in any order. */
export function isSame(first: readonly Output[], second: readonly Output[]): boolean {
  const [one, other] = [counts(first, 'by-value'), counts(second, 'by-value')]
  return one.size === other.size && [...one].every(([output, n]) => other.get(output) === n)
}

function counts(outputs: readonly Output[], by: Counted): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const output of outputs) found.set(nameOf(output, by), (found.get(nameOf(output, by)) ?? 0) + 1)
  return found
}

const nameOf = ({ topic, key, value }: Output, by: Counted): string =>
  [topic, key === null ? 'no key' : `key ${key}`, ...(by === 'by-value' ? [value] : [])].join(', ')
