/**
 * One error shape for the whole system. `code` is what programs switch on, `kind` is the duty of the caller, the
 * message says what was expected and what to do about it; its words are not API.
 */

/**
 * - `retry`: the same call may succeed later
 * - `restart`: the attempt is over, the job restarts from its last published epoch
 * - `fenced`: somebody newer owns this; stop, touch nothing
 * - `invalid`: wrong input or configuration; retrying cannot help
 */
export type ErrorKind = 'retry' | 'restart' | 'fenced' | 'invalid'

export interface ErrorFacts {
  readonly code: string
  readonly kind: ErrorKind
  /** Everything a reader needs to act: names, numbers, positions. JSON-serialisable. */
  readonly [fact: string]: unknown
}

export class WeirError<T extends ErrorFacts = ErrorFacts> extends Error {
  override readonly name = 'WeirError'
  readonly facts: T

  constructor(facts: T, message: string, options?: ErrorOptions) {
    super(message, options)
    this.facts = facts
  }

  get code(): T['code'] {
    return this.facts.code
  }

  get kind(): ErrorKind {
    return this.facts.kind
  }

  /** For the wire and for REST problem details. */
  toJSON(): { code: string; kind: ErrorKind; message: string; facts: Record<string, unknown> } {
    const { code, kind, ...facts } = this.facts
    return { code, kind, message: this.message, facts }
  }

  static fromJSON(json: {
    code: string
    kind: ErrorKind
    message: string
    facts?: Record<string, unknown>
  }): WeirError {
    return new WeirError({ ...json.facts, code: json.code, kind: json.kind }, json.message)
  }
}

/** Any thrown value as a WeirError; foreign errors get the given code and keep their cause. */
export function asWeirError(error: unknown, code: string, kind: ErrorKind = 'restart'): WeirError {
  if (error instanceof WeirError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new WeirError({ code, kind }, message, { cause: error })
}

/** A bug in Weir itself: the state named in `message` was thought to be impossible. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new WeirError({ code: 'INTERNAL', kind: 'restart' }, `internal: ${message}`)
}

/** Ends an exhaustive switch: a forgotten case does not compile. */
export function unreachable(value: never): never {
  throw new WeirError({ code: 'INTERNAL', kind: 'restart', value }, `internal: unexpected ${JSON.stringify(value)}`)
}
