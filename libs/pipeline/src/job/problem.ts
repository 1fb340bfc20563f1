/** What is wrong with a pipeline, and where. Collected: an author wants to hear of all mistakes at once. */
import { WeirError } from '@weir/model'
import { ExpressionProblem } from './expression.ts'

export type Path = readonly (string | number)[]

export interface Problem {
  /** Of the part that is wrong, e.g. ['steps', 2, 'filter']. */
  readonly path: Path
  /** Part of its text, in characters. */
  readonly range?: { readonly start: number; readonly end: number } | undefined
  /** The key at the end of the path is meant, not its value. */
  readonly isKey?: boolean | undefined
  /** What stands there may be a secret: it is shown to nobody. */
  readonly isSecret?: boolean | undefined
  readonly message: string
  readonly remedy: string
}

/** Ends the building of a step; what reads it is not looked at. */
export class StepRefused extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

export const refuse = (path: Path, message: string, remedy: string): never => {
  throw new StepRefused({ path, message, remedy })
}
/** The key at the end of the path is what is wrong. */
export const refuseKey = (path: Path, message: string, remedy: string): never => {
  throw new StepRefused({ path, message, remedy, isKey: true })
}

/** What was thrown over the part at `path`; anything that is no mistake of the author is thrown again. */
export function problemOf(thrown: unknown, path: Path): Problem {
  if (thrown instanceof StepRefused) return thrown.problem
  if (thrown instanceof ExpressionProblem)
    return { path, range: thrown.range, message: thrown.message, remedy: thrown.remedy }
  if (thrown instanceof WeirError && thrown.kind === 'invalid') {
    const option = thrown.facts['option'] ?? thrown.facts['setting']
    const within = typeof option === 'string' ? [...path, ...option.split('.')] : path
    const [message, ...rest] = sentences(thrown.message)
    return { path: within, message: `${thrown.code}: ${message}`, remedy: rest.join(' ') }
  }
  throw thrown
}

/** The first says what is wrong, the others what to do. */
function sentences(text: string): string[] {
  const [, first = text, rest = ''] = /^(.*?[^.A-Z]\.)\s+([A-Z(].*)$/s.exec(text) ?? []
  if (rest !== '') return [first, rest]
  const [, what = text, rule = ''] = /^(.*?)[;:] ((?:it|its|end|use|give|name|leave)\b.*)$/s.exec(text) ?? []
  return rule === '' ? [text] : [what, `${rule[0]!.toUpperCase()}${rule.slice(1)}${/[.…)]$/.test(rule) ? '' : '.'}`]
}
