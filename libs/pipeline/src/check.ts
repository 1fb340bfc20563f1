/** What zod finds, in words that say what to do. */
import { looksSecret } from '@weir/dataflow'
import type { z } from 'zod'
import { instead, nearest, type Path, type Problem } from './job/index.ts'
import { PipelineHead, settings, type PipelineSpec } from './schema/pipeline.ts'
import { Sinks, Sources } from './schema/connectors.ts'
import { OF_SECRETS } from './schema/words.ts'
import { OWN_INPUTS, STEP_KINDS, stepKinds, steps, type Step, type StepKind } from './schema/steps.ts'

type Report = (problem: Problem) => void

const NEEDS_CODE: Readonly<Record<string, string>> = {
  process: 'Operators of your own code are written in TypeScript.',
  connect: 'Your own code over two streams is written in TypeScript; a join may say it: join, intervalJoin.',
  asyncMap: 'Calls of services are made by a job in TypeScript.',
  broadcast: 'Broadcast state is filled by your own code, in TypeScript.',
  apply: 'Transforms are values of TypeScript.',
}
const OTHER_NAMES: Readonly<Record<string, StepKind>> = {
  source: 'from',
  read: 'from',
  sink: 'to',
  write: 'to',
  select: 'map',
  where: 'filter',
  groupBy: 'keyBy',
  dedupe: 'deduplicate',
  distinct: 'deduplicate',
  merge: 'union',
}

/** In the place of a step that has been reported. */
export interface RefusedStep {
  readonly refused: true
  readonly uid?: string
}
export interface Checked extends Omit<PipelineSpec, 'steps'> {
  readonly steps: readonly (Step | RefusedStep)[]
}

/** What is right of it; everything that is not has been reported. Null: nothing can be said of the steps. */
export function checked(value: unknown, report: Report): Checked | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report({
      path: [],
      message: 'a pipeline is a mapping',
      remedy: 'Begin with version: 1, name: NAME and steps: […].',
    })
    return null
  }
  const head = PipelineHead.safeParse(value, { reportInput: true })
  if (!head.success)
    for (const issue of head.error.issues)
      explain(issue, [], report, ['version', 'name', 'params', 'types', 'settings', 'steps'])
  const listed = (value as { steps?: unknown }).steps
  const made = (Array.isArray(listed) ? listed : []).map((of: unknown, i): Step | RefusedStep => {
    const step = checkedStep(of, ['steps', i], report)
    if (step !== null) return step
    const uid = (of as { uid?: unknown } | null)?.uid
    return { refused: true, ...(typeof uid === 'string' && { uid }) }
  })
  return head.success ? { ...(head.data as Omit<PipelineSpec, 'steps'>), steps: made } : null
}

function checkedStep(value: unknown, path: Path, report: Report): Step | null {
  const wrong = (message: string, remedy: string, at: Path = path, isKey = false): null => {
    report({ path: at, message, remedy, isKey })
    return null
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return wrong('a step is a mapping', `Write e.g. - filter: value.amount > 0. Steps are: ${STEP_KINDS.join(', ')}.`)
  const keys = Object.keys(value)
  const kinds = keys.filter((key) => (STEP_KINDS as readonly string[]).includes(key)) as StepKind[]
  if (kinds.length > 1)
    return wrong(
      `a step is one of ${kinds.join(' and ')}, not both`,
      'Begin a new step with "- ".',
      [...path, kinds[1]!],
      true,
    )
  const [kind] = kinds
  if (kind === undefined) {
    const unknown = keys.find((key) => key !== 'uid' && key !== 'input')
    if (unknown === undefined) return wrong('a step says what it does', `It has one of: ${STEP_KINDS.join(', ')}.`)
    const remedy =
      NEEDS_CODE[unknown] ??
      (OTHER_NAMES[unknown] ? `It is called ${OTHER_NAMES[unknown]}.` : instead(unknown, STEP_KINDS, 'step'))
    return wrong(`there is no step "${unknown}"`, remedy, [...path, unknown], true)
  }
  const connectors = kind === 'from' ? Sources : kind === 'to' ? Sinks : null
  if (
    connectors !== null &&
    (kind === 'from' || kind === 'to') &&
    !namesOne((value as Readonly<Record<string, unknown>>)[kind], connectors, [...path, kind], kind, report)
  )
    return null
  const parsed = steps[kind].safeParse(value, { reportInput: true })
  if (parsed.success) return parsed.data
  const known = [kind, 'uid', ...(OWN_INPUTS.includes(kind) ? [] : ['input'])]
  for (const issue of parsed.error.issues) {
    const inner = connectors === null ? issue : innermost(issue, (value as Readonly<Record<string, object>>)[kind]!)
    explain(inner, path, report, known, kind)
  }
  return null
}

/** Exactly one connector, which is known. */
function namesOne(value: unknown, connectors: object, path: Path, kind: 'from' | 'to', report: Report): boolean {
  const names = Object.keys(connectors)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report({
      path,
      message: `${kind} names a connector`,
      remedy: `Write e.g. ${kind}: { kafka: ${kind === 'from' ? '{ topic: orders }' : 'orders'} }. Connectors: ${names.join(', ')}.`,
    })
    return false
  }
  const keys = Object.keys(value)
  const unknown = keys.find((key) => !names.includes(key))
  if (unknown !== undefined) {
    const near = nearest(unknown, names)
    const remedy =
      keys.length > 1 && near === null
        ? `Its options stand below the connector: ${kind}: { kafka: { ${unknown}: … } }.`
        : instead(unknown, names, 'connector')
    report({ path: [...path, unknown], isKey: true, message: `there is no connector "${unknown}"`, remedy })
    return false
  }
  if (keys.length === 1) return true
  report({
    path,
    message: keys.length === 0 ? `${kind} names no connector` : `${kind} names ${keys.join(' and ')}`,
    remedy: 'One step is one connector.',
  })
  return false
}

type Issue = z.core.$ZodIssue

/** Of the alternatives the one that the author has named. */
function innermost(issue: Issue, value: object): Issue {
  if (issue.code !== 'invalid_union') return issue
  const [connector] = Object.keys(value)
  const of = issue.errors.find((errors) =>
    errors.every(({ path, code }) => !(path.length === 0 && code === 'unrecognized_keys')),
  )
  const [first] = (of ?? []).filter(({ path }) => path[0] === connector)
  return first === undefined ? issue : ({ ...first, path: [...issue.path, ...first.path] } as Issue)
}

function explain(issue: Issue, base: Path, report: Report, known: readonly string[], kind?: StepKind): void {
  const path = [...base, ...issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))]
  const name = path.length === 0 ? 'the pipeline' : String(path.at(-1))
  if (issue.code === 'unrecognized_keys') {
    const fields = issue.path.length === 0 ? known : fieldsAt(issue.path, kind)
    for (const key of issue.keys)
      report({
        path: [...path, key],
        isKey: true,
        message: `there is no "${key}" here`,
        remedy: instead(key, fields, 'key here'),
      })
    return
  }
  const input = (issue as { input?: unknown }).input
  const isMissing =
    input === undefined &&
    (issue.code === 'invalid_type' || issue.code === 'invalid_union' || issue.code === 'invalid_value')
  if (isMissing) {
    report({ path, message: `${name} is missing`, remedy: `${name} ${saysWhat(issue)}.` })
    return
  }
  const isSecret = isOfSecrets(issue)
  report({
    path,
    isKey: issue.code === 'invalid_key',
    isSecret,
    message: `${name} ${saysWhat(issue)}${isSecret ? '' : `, and this is ${shownShort(name, input)}`}`,
    remedy: isSecret ? 'Write the name of what holds it, not the secret.' : remedyFor(issue, input),
  })
}

const isOfSecrets = (issue: Issue): boolean =>
  OF_SECRETS.includes(issue.message) ||
  (issue.code === 'invalid_union' && issue.errors.some((errors) => errors.some((inner) => isOfSecrets(inner as Issue))))

function saysWhat(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (OF_SECRETS.includes(issue.message)) return issue.message
      return `is ${KINDS[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return issue.message.startsWith('is ') ? issue.message : `is one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return issue.message.startsWith('is ') || issue.message.startsWith('names ') || issue.message.startsWith('has ')
        ? issue.message
        : `is at least ${issue.minimum}${issue.inclusive ? '' : ', not included'}`
    case 'too_big':
      return `is at most ${issue.maximum}`
    case 'invalid_key':
      return 'has a name that is not allowed: letters, digits and _, types beginning with a capital'
    default:
      return issue.message.startsWith('is ') || issue.message.startsWith('names ')
        ? issue.message
        : `is not right: ${issue.message}`
  }
}

function remedyFor(issue: Issue, input: unknown): string {
  if (issue.code === 'invalid_type') return WRITE[issue.expected] ?? 'Write it as that.'
  if (issue.code === 'invalid_value') return instead(String(input), issue.values.map(String), 'value')
  if (issue.code === 'invalid_key') return 'Give it such a name.'
  return 'Write it in that form.'
}

const WRITE: Readonly<Record<string, string>> = {
  string: 'Write a text, in quotes where it looks like a number or a word of YAML.',
  number: 'Write a number, without quotes.',
  int: 'Write a number without a fraction.',
  boolean: 'Write true or false, without quotes.',
  object: 'Write a mapping: { key: value }.',
  record: 'Write a mapping: { key: value }.',
  array: 'Write a list: [a, b].',
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
}

const shownShort = (name: string, input: unknown): string => {
  const hidden = (key: string, value: unknown): unknown =>
    typeof value === 'string' && looksSecret(key === '' ? name : key, value) ? '[secret]' : value
  return (JSON.stringify(input, hidden) ?? String(input)).slice(0, 60)
}

/** Keys that there may be at a place, for what somebody may have meant. */
function fieldsAt(path: readonly PropertyKey[], kind: StepKind | undefined): string[] {
  const [first, ...rest] = path
  let schema: unknown =
    kind === undefined ? (first === 'settings' ? settings : null) : first === kind ? stepKinds[kind] : null
  if (kind === 'from' || kind === 'to') {
    const [connector, ...inner] = rest
    schema = (kind === 'from' ? Sources : Sinks)[connector as 'kafka']
    return keysOf(schema, inner)
  }
  return keysOf(schema, rest)
}

function keysOf(schema: unknown, path: readonly PropertyKey[]): string[] {
  let at = unwrapped(schema)
  for (const key of path) at = unwrapped((at as { shape?: Record<PropertyKey, unknown> } | null)?.shape?.[key])
  return Object.keys((at as { shape?: object } | null)?.shape ?? {})
}

function unwrapped(schema: unknown): unknown {
  let at = schema as { unwrap?: () => unknown; options?: unknown[]; shape?: object } | null | undefined
  for (let i = 0; i < 8 && at; i++) {
    if (at.shape) return at
    const mapping = at.options?.find((option) => typeof option === 'object' && option !== null && 'shape' in option)
    at = (mapping ?? at.unwrap?.()) as typeof at
  }
  return at
}
