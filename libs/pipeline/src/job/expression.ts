/**
 * Expressions in CEL (cel.dev): not Turing-complete, no loops but those over a list, no way to anything that is not given. Each is
 * parsed and checked against the types of its variables once, when the job is built; a mistake is found before the job is submitted.
 */
import { instead } from '@weir/model'
import { Environment, type ASTNode } from '@marcbachmann/cel-js'
import { ABSENT, INT_OF, LIBRARY, withLibrary } from './cel-library.ts'
import { CelTypes, plainOf } from './cel-values.ts'
import { patternProblem } from './regex.ts'
import { expressionFailed, typeText, type RecordType, type ValueType } from './value-type.ts'

/** Of one expression. */
const LIMITS = { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 16 }
const LENGTH_MAX = 4_000

/** Variables by name. */
export type Scope = Readonly<Record<string, ValueType>>

export interface Expression {
  readonly type: ValueType
  /** Which of its variables it looks at. */
  readonly uses: ReadonlySet<string>
  /** Throws WeirError `EXPRESSION_FAILED` (invalid). */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown
}

/** Characters of its text. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** CEL's names of types are values, too: none of a job. */
const TYPES = [
  'google',
  'bool',
  'bytes',
  'double',
  'dyn',
  'int',
  'list',
  'map',
  'null_type',
  'optional',
  'string',
  'type',
  'uint',
]

/** Where in an expression something is wrong; offsets are characters of its text. */
export class ExpressionProblem extends Error {
  readonly range: Range
  readonly remedy: string

  constructor(message: string, remedy: string, range: Range) {
    super(message)
    this.remedy = remedy
    this.range = range
  }
}

/** Throws ExpressionProblem. @param uid of the operator, for errors of records */
export function compile(text: string, scope: Scope, uid: string): Expression {
  const whole = { start: 0, end: text.length }
  if (text.trim() === '')
    throw new ExpressionProblem('the expression is empty', 'Write one in CEL, e.g. value.amount > 0.', whole)
  if (text.length > LENGTH_MAX)
    throw new ExpressionProblem(
      `the expression has ${text.length} characters`,
      `At most ${LENGTH_MAX} are allowed; split it over several steps.`,
      whole,
    )
  const environment = withLibrary(
    new Environment({ unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false, limits: LIMITS }),
  )
  const types = new CelTypes(environment)
  for (const [name, type] of Object.entries(scope)) environment.registerVariable(name, types.nameOf(type))
  const readers = Object.entries(scope).map(([name, type]) => [name, types.reader(type)] as const)

  const parsed = parse(environment, text)
  const uses = new Set<string>()
  admit(parsed.ast, (name, range) => {
    if (Object.hasOwn(scope, name)) uses.add(name)
    else if (TYPES.includes(name)) throw explainedName(name, scope, range)
  })
  const { valid, type, error } = parsed.check()
  if (!valid) throw explained(error as CelFailure, { text, scope, types })
  const used = readers.filter(([name]) => uses.has(name))
  return {
    type: types.typeOf(type!),
    uses,
    evaluate(variables) {
      const context: Record<string, unknown> = {}
      try {
        for (const [name, read] of used) context[name] = read(variables[name])
        return plainOf(parsed(context))
      } catch (cause) {
        const { summary, message } = cause as Partial<CelFailure> & Error
        throw expressionFailed(uid, text, types.textOf(summary ?? message).replaceAll(INT_OF, 'int'), cause)
      }
    },
  }
}

interface CelFailure extends Error {
  readonly code: string
  readonly summary: string
  readonly range?: Range
}

function parse(environment: Environment, text: string): ReturnType<Environment['parse']> {
  try {
    return environment.parse(text)
  } catch (cause) {
    const { summary, range = { start: 0, end: text.length } } = cause as CelFailure
    const remedy = text.includes('${')
      ? 'In an expression a parameter is written params.NAME, without ${…}.'
      : /[^=!<>]=[^=]/.test(text)
        ? 'Equal is ==; an expression changes nothing.'
        : 'Expressions are CEL, e.g. value.status == "PAID" && value.amount > 0.'
    throw new ExpressionProblem(`the expression does not parse: ${summary}`, remedy, range)
  }
}

/** Refuses what is in the language and not in its library here. */
function admit(node: ASTNode, onName: (name: string, range: Range) => void): void {
  const refuse = (message: string, remedy: string): never => {
    throw new ExpressionProblem(message, remedy, node.range)
  }
  if (node.op === 'id') onName(node.args as string, node.range)
  if (node.op === 'value' && typeof node.args === 'object' && node.args !== null)
    refuse('bytes and unsigned numbers are not values of a job', 'Write a text or a number without b and u.')
  if (node.op === 'call' || node.op === 'rcall') {
    const parts = node.args as unknown as [string, ...unknown[]]
    const [name] = parts
    const known = node.op === 'call' ? LIBRARY.functions : LIBRARY.methods
    if (!known.includes(name)) {
      const remedy = Object.hasOwn(ABSENT, name) ? ABSENT[name]! : instead(name, known, 'function')
      refuse(`there is no ${node.op === 'call' ? `function ${name}(…)` : `method .${name}(…)`}`, remedy)
    }
    if (node.op === 'call' && name === 'int') parts[0] = INT_OF
    if (name === 'matches') {
      const [pattern] = parts[2] as ASTNode[]
      if (pattern?.op !== 'value' || typeof pattern.args !== 'string')
        return refuse(
          'the pattern of matches is computed',
          'Write it as a text, e.g. value.id.matches("^[a-z]+-[0-9]+$").',
        )
      const wrong = patternProblem(pattern.args)
      if (wrong !== null)
        refuse(`the pattern of matches is refused: ${wrong}`, 'Write a simpler one, or take the text apart with split.')
    }
  }
  for (const child of childrenOf(node.args)) admit(child, onName)
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf)
  return typeof args === 'object' && args !== null && 'op' in args ? [args as ASTNode] : []
}

const explainedName = (name: string, scope: Scope, range: Range): ExpressionProblem =>
  new ExpressionProblem(
    `there is no variable ${name}`,
    `${instead(name, Object.keys(scope), 'variable')} A field is written value.${name}, a text in quotes: "${name}".`,
    range,
  )

interface Asked {
  readonly text: string
  readonly scope: Scope
  readonly types: CelTypes
}

function explained(error: CelFailure, { text, scope, types }: Asked): ExpressionProblem {
  const range = error.range ?? { start: 0, end: text.length }
  const summary = types.textOf(error.summary).replaceAll(INT_OF, 'int')
  const last = /[:] (.*)$/.exec(error.summary)?.[1] ?? ''
  if (error.code === 'unknown_variable') return explainedName(last, scope, range)
  if (error.code === 'no_such_key') {
    const owner = ownerOf(text.slice(0, range.start), scope)
    const fields = owner === null ? [] : Object.keys(owner.fields)
    const of = owner === null ? 'the value' : owner.name
    return new ExpressionProblem(
      `${of} has no field "${last}"`,
      owner === null ? 'See the type of the stream.' : instead(last, fields, 'field'),
      range,
    )
  }
  if (error.code === 'no_such_overload' || error.code === 'no_matching_overload')
    return new ExpressionProblem(summary, 'Convert one side: string(…), int(…), double(…).', range)
  return new ExpressionProblem(summary, 'Compare the types of what stands on both sides.', range)
}

/** The record in front of a dot: of `value.address.`, the type of address. */
function ownerOf(before: string, scope: Scope): RecordType | null {
  const path = /([A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)\s*\.\s*$/.exec(before)?.[1]?.split(/\s*\.\s*/)
  if (path === undefined) return null
  let type: ValueType | undefined = scope[path[0]!]
  for (const field of path.slice(1)) type = type?.kind === 'record' ? type.fields[field] : undefined
  return type?.kind === 'record' ? type : null
}

/** Throws ExpressionProblem for an expression whose result is of another kind than what is needed. */
export function mustBe(expression: Expression, text: string, kinds: readonly ValueType['kind'][], what: string): void {
  const { type } = expression
  if (type.kind === 'any' || kinds.includes(type.kind)) return
  throw new ExpressionProblem(`${what}, and this is ${typeText(type)}`, remedyFor(kinds), {
    start: 0,
    end: text.length,
  })
}

const remedyFor = (kinds: readonly ValueType['kind'][]): string =>
  kinds.includes('bool')
    ? 'Compare it with something: value.amount > 0, value.status == "PAID".'
    : kinds.includes('list')
      ? 'Make a list: [value], value.items, value.items.map(x, x.id).'
      : kinds.includes('string')
        ? 'Name a field that is a text or a number, or write string(…).'
        : 'Name a field that is a number, or write int(…) or double(…).'
