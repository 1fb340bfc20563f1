/**
 * What must hold whatever was broken on the way. A checker is fed with what an outsider saw (a reader of the topics, the
 * history of the arbiters, the offsets of the brokers) and knows nothing of the engine: simulation, end-to-end tests and
 * chaos runs judge with the same classes.
 */
export interface CheckerVerdict {
  readonly checker: string
  /** How often the promise was broken; 0 = it held. */
  readonly violations: number
  /** The first few, for people. */
  readonly examples: readonly string[]
}

export const EXAMPLES_MAX = 10

export abstract class Checker {
  abstract readonly name: string
  abstract verdict(): CheckerVerdict

  protected judge(found: Iterable<string>): CheckerVerdict {
    const examples: string[] = []
    let violations = 0
    for (const text of found) if (++violations <= EXAMPLES_MAX) examples.push(text)
    return { checker: this.name, violations, examples }
  }
}

/** One line per violation, each with the name of its checker; empty when all held. */
export const broken = (...checkers: readonly Checker[]): string[] =>
  checkers.map((c) => c.verdict()).flatMap((v) => v.examples.map((text) => `${v.checker}: ${text}`))
