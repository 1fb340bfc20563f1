/**
 * Jobs in YAML. A text becomes the graph that the same chain in TypeScript would make:
 *
 *     version: 1
 *     name: payments
 *     steps:
 *       - from: { kafka: { topic: payments } }
 *       - filter: value.status == "PAID"
 *       - keyBy: value.user
 *       - window: { tumbling: 10s, fold: count }
 *       - to: { kafka: counts }
 *
 * README.md has the language. A mistake is said with its line, column and what to do about it, all of them at once.
 */
import type { JobDefinition } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { checked } from './check.ts'
import { binaryFormats } from './job/binary-formats.ts'
import { tryJobOf, type Path, type Problem, type ResolvedPipeline } from './job/index.ts'
import { substituted, valuesOf } from './parameters.ts'
import { YamlText, type Place } from './places.ts'

export { LIBRARY, usesBinaryFormats } from './job/index.ts'
export type { ResolvedPipeline } from './job/index.ts'
export { SCHEMA_ID, pipelineJsonSchema, type PipelineSpec } from './schema/pipeline.ts'
export { STEP_KINDS, stepKinds, type StepKind } from './schema/steps.ts'
export type { Place } from './places.ts'

/** Longer, it is no text that somebody wrote. */
const LENGTH_MAX = 1 << 20
/** Of one file; what follows is mostly of the same kind. */
const SHOWN_MAX = 20

export interface PlacedProblem extends Place {
  readonly message: string
  readonly remedy: string
  /** The line of the file with the place marked. */
  readonly excerpt: string
}

export interface ParsedPipeline {
  /** Plain JSON, with the parameters set: what a bundle holds. */
  readonly resolved: ResolvedPipeline
  readonly job: JobDefinition
}

/**
 * @param file as it stands in messages
 * @param params texts by name, of `--set`
 * Throws WeirError `PIPELINE_INVALID` (invalid); its fact `problems` has all that is wrong.
 */
export function parsePipeline(
  text: string,
  file: string,
  params: Readonly<Record<string, string>> = {},
): ParsedPipeline {
  const { parsed, problems } = inspectPipeline(text, params)
  if (parsed !== null) return parsed
  const said = problems
    .slice(0, SHOWN_MAX)
    .map(
      ({ line, column, message, remedy, excerpt }) =>
        `${file}:${line}:${column}: ${message}\n${excerpt}\n        ${remedy}`,
    )
  const more = problems.length > SHOWN_MAX ? [`and ${problems.length - SHOWN_MAX} more`] : []
  const count = `${problems.length} ${problems.length === 1 ? 'mistake' : 'mistakes'} in ${file}`
  throw new WeirError(
    { code: 'PIPELINE_INVALID', kind: 'invalid', file, problems },
    [count, ...said, ...more].join('\n\n'),
  )
}

/** All that is wrong with a text, or the job. */
export function inspectPipeline(
  text: string,
  params: Readonly<Record<string, string>> = {},
): { readonly parsed: ParsedPipeline | null; readonly problems: readonly PlacedProblem[] } {
  if (text.length > LENGTH_MAX) {
    const place = { line: 1, column: 1, length: 1 }
    return {
      parsed: null,
      problems: [
        {
          ...place,
          message: `the file has ${text.length} characters`,
          remedy: `At most ${LENGTH_MAX} are read.`,
          excerpt: '',
        },
      ],
    }
  }
  const yaml = new YamlText(text)
  if (yaml.syntax.length > 0) {
    const problems = yaml.syntax.map(({ message, place }) => ({
      ...place,
      message: `YAML: ${message}`,
      remedy: remedyOf(message),
      excerpt: yaml.show(place),
    }))
    return { parsed: null, problems }
  }
  const found: Problem[] = []
  const report = (problem: Problem): void => void found.push(problem)
  const parsed = resolve(yaml, params, report)
  for (const problem of found) if (problem.isSecret === true) yaml.hide(problem)
  const placed = found.map((problem) => {
    const place = yaml.placeOf(problem)
    return { ...place, message: problem.message, remedy: problem.remedy, excerpt: yaml.show(place) }
  })
  return {
    parsed: placed.length === 0 ? parsed : null,
    problems: placed.sort((a, b) => a.line - b.line || a.column - b.column),
  }
}

function resolve(
  yaml: YamlText,
  params: Readonly<Record<string, string>>,
  report: (problem: Problem) => void,
): ParsedPipeline | null {
  let value: unknown
  try {
    value = yaml.value
  } catch (cause) {
    report({ path: [], message: `YAML: ${(cause as Error).message}`, remedy: 'Use fewer aliases (*name).' })
    return null
  }
  noPrototype(value, [], report)
  const declared = (value as { params?: unknown } | null)?.params
  const values = valuesOf(isMapping(declared) ? declared : {}, params, report)
  const { params: _, ...others } = isMapping(value) ? value : { params: null }
  const replaced = isMapping(value)
    ? { ...(substituted(others, values, [], report) as object), ...('params' in value && { params: declared }) }
    : value
  const spec = checked(replaced, report)
  if (spec === null) return null
  const resolved = { ...spec, values }
  const { job, problems } = tryJobOf(resolved, binaryFormats)
  problems.forEach(report)
  return job === null ? null : { resolved: resolved as ResolvedPipeline, job }
}

/** A key that JavaScript takes for something else is no name of anything. */
function noPrototype(value: unknown, path: Path, report: (problem: Problem) => void): void {
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key]
    if (key === '__proto__')
      report({ path: at, isKey: true, message: 'there is no "__proto__" here', remedy: 'Give it another name.' })
    else noPrototype((value as Readonly<Record<string, unknown>>)[key], at, report)
  }
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function remedyOf(message: string): string {
  if (/unique/.test(message)) return 'Each key may be there once: remove one, or begin a new step with "- ".'
  if (/tab/i.test(message)) return 'Indent with spaces.'
  if (/Nested mappings|compact mapping|implicit/i.test(message))
    return 'Put the text in quotes if it holds ": ", and look at the indentation.'
  if (/quote|flow|bracket|brace|end with/i.test(message))
    return 'Close the quote or bracket, and put texts that begin with one of {["\' into quotes.'
  return 'Look at the indentation and the quotes of this line and the one above.'
}
