/** NoLoss, NoDuplicate: what a read_committed reader saw against what the input makes certain. */
import { Checker, type CheckerVerdict } from './checker.ts'

/** Counts how often each output was seen. An output is named by a text of the caller's: topic, key, value. */
abstract class OutputChecker extends Checker {
  protected readonly expected: ReadonlyMap<string, number>
  protected readonly seen = new Map<string, number>()

  /** @param expected every output there must be → how often; a set means once. */
  constructor(expected: ReadonlyMap<string, number> | ReadonlySet<string>) {
    super()
    this.expected = expected instanceof Map ? expected : new Map([...expected.keys()].map((o) => [o, 1]))
  }

  saw(output: string): void {
    this.seen.set(output, (this.seen.get(output) ?? 0) + 1)
  }
}

/** Every expected output is visible. A violation per missing one. */
export class NoLoss extends OutputChecker {
  readonly name = 'NoLoss'

  verdict(): CheckerVerdict {
    return this.judge(this.#missing())
  }

  *#missing(): Iterable<string> {
    for (const [output, wanted] of this.expected) {
      for (let n = this.seen.get(output) ?? 0; n < wanted; n++) yield `${output} is missing`
    }
  }
}

/** Nothing is visible more often than expected, and nothing that nobody expected. A violation per surplus one. */
export class NoDuplicate extends OutputChecker {
  readonly name = 'NoDuplicate'

  verdict(): CheckerVerdict {
    return this.judge(this.#surplus())
  }

  *#surplus(): Iterable<string> {
    for (const [output, count] of this.seen) {
      const wanted = this.expected.get(output) ?? 0
      for (let n = wanted; n < count; n++) yield wanted === 0 ? `${output} was never due` : `${output} ${count} times`
    }
  }
}
