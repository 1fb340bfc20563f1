/** InOrder: outputs of one key are seen in the order of their numbers, none skipped, none twice. */
import { Checker, type CheckerVerdict as Verdict } from '@weir/dataflow'

export class InOrder extends Checker {
  readonly name = 'InOrder'
  readonly #last = new Map<string, number>()
  readonly #found: string[] = []

  /** @param position counts from 1 within the key. */
  saw(key: string, position: number): void {
    const before = this.#last.get(key) ?? 0
    if (position !== before + 1) this.#found.push(`${key}: ${position} after ${before}`)
    this.#last.set(key, position)
  }

  verdict(): Verdict {
    return this.judge(this.#found)
  }
}
