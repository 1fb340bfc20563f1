/** StuckReader: a read_committed reader gets to the end of every log: no transaction was left open in front of it. */
import { Checker, type CheckerVerdict as Verdict } from '@weir/dataflow'

export class StuckReader extends Checker {
  readonly name = 'StuckReader'
  readonly #ends = new Map<string, { stable: bigint; end: bigint }>()

  /** @param stable where read_committed stops (last stable offset); @param end where the log ends. */
  saw(partition: string, stable: bigint, end: bigint): void {
    this.#ends.set(partition, { stable, end })
  }

  verdict(): Verdict {
    return this.judge(
      [...this.#ends]
        .filter(([, { stable, end }]) => stable < end)
        .map(([partition, { stable, end }]) => `${partition}: readers stop at ${stable}, the log ends at ${end}`),
    )
  }
}
