/**
 * From what a pipeline says to a job: what runs in a task-manager. There is no YAML and no schema in here, those have done their part
 * when the job was bundled.
 */
import { planJob, type JobDefinition } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { job, kafka, log, type Flow, type Settings } from '@weir/sdk'
import type { PipelineSpec } from '../schema/pipeline.ts'
import type { Step } from '../schema/steps.ts'
import { NO_BINARY_FORMATS, type BinaryFormats } from './formats.ts'
import { StepRefused, problemOf, refuse, type Path, type Problem } from './problem.ts'
import type { Variables } from './projection.ts'
import { InputRefused, build, kindOf, type Output } from './steps.ts'
import { DeclaredTypes } from './types.ts'
import { recordOf, typeOf } from './value-type.ts'

export type { Path, Problem } from './problem.ts'
export { nearest, instead } from '@weir/model'
export { LIBRARY } from './cel-library.ts'
export type { BinaryFormats } from './formats.ts'

/** What a pipeline is when its parameters have been set. JSON. */
export interface ResolvedPipeline extends PipelineSpec {
  /** Values of its parameters. */
  readonly values: Variables
}
/** One of whose steps some may be known to be wrong already. */
export interface PartlyRefused extends Omit<ResolvedPipeline, 'steps'> {
  readonly steps: readonly (Step | { readonly refused: true; readonly uid?: string })[]
}

/**
 * @param formats `binaryFormats`, where the pipeline names one (`usesBinaryFormats`)
 * Throws WeirError `PIPELINE_INVALID` (invalid); `weir validate` has said so before.
 */
export function jobOf(spec: ResolvedPipeline, formats: BinaryFormats = NO_BINARY_FORMATS): JobDefinition {
  const { job: made, problems } = tryJobOf(spec, formats)
  if (made !== null) return made
  const [first] = problems
  throw new WeirError(
    { code: 'PIPELINE_INVALID', kind: 'invalid', problems },
    `${first!.path.join('.')}: ${first!.message}. ${first!.remedy}`,
  )
}

/** Whether its topics are written in something else than JSON. */
export const usesBinaryFormats = ({ steps }: Pick<ResolvedPipeline, 'steps'>): boolean =>
  steps.some((step) => {
    const of = (step as { readonly from?: object; readonly to?: object }).from ?? (step as { readonly to?: object }).to
    return Object.values(of ?? {}).some(
      (options: { readonly format?: unknown } | string) =>
        typeof options === 'object' && options.format !== undefined && options.format !== 'json',
    )
  })

/** The job, planned once; or all that is wrong with it. */
export function tryJobOf(
  spec: PartlyRefused,
  formats: BinaryFormats,
): {
  readonly job: JobDefinition | null
  readonly problems: readonly Problem[]
} {
  const problems: Problem[] = []
  const caught = <R>(path: Path, make: () => R): R | null => {
    try {
      return make()
    } catch (thrown) {
      if (!(thrown instanceof InputRefused)) problems.push(problemOf(thrown, path))
      return null
    }
  }
  const types = new DeclaredTypes(spec.types ?? {})
  for (const name of types.names) caught(['types', name], () => types.named(name, ['types', name]))
  const made = caught(['settings'], () =>
    job(spec.name, settingsOf(spec.settings), (flow) => steps(spec, { flow, types, formats, caught })),
  )
  if (made !== null && problems.length === 0 && !spec.steps.some((step) => 'refused' in step))
    caught(['settings'], () => planned(spec, made))
  const isWhole = problems.length === 0 && !spec.steps.some((step) => 'refused' in step)
  // A type that is wrong is found wherever it is used.
  const once = new Map(problems.map((problem) => [JSON.stringify(problem), problem]))
  return { job: isWhole ? made : null, problems: [...once.values()] }
}

interface Building {
  readonly flow: Flow
  readonly types: DeclaredTypes
  readonly formats: BinaryFormats
  readonly caught: <R>(path: Path, make: () => R) => R | null
}

function steps(spec: PartlyRefused, { flow, types, formats, caught }: Building): void {
  const outputs = new Map<string, Output | 'refused'>()
  const { values } = spec
  const params = { values, type: typeOf(values, 'params') as ReturnType<typeof recordOf> }
  let above: string | null = null
  for (const [i, step] of spec.steps.entries()) {
    const path = ['steps', i]
    // What the API would call it, too.
    const name: string = step.uid ?? defaultName(step, spec.steps.slice(0, i), outputs)
    if (outputs.has(name))
      caught(path, () =>
        refuse([...path, 'uid'], `there is a step "${name}" above already`, 'Give each step a uid of its own.'),
      )
    const output =
      'refused' in step
        ? null
        : caught(optionsOf(step, path), () => build(step, path, { flow, types, formats, params, outputs, above }))
    outputs.set(name, output ?? 'refused')
    above = name
  }
}

/** Where the options of a step stand, which the API may refuse. */
function optionsOf(step: Step, path: Path): Path {
  const kind = kindOf(step)
  if (kind !== 'from' && kind !== 'to') return [...path, kind]
  return [...path, kind, ...Object.keys((step as unknown as Readonly<Record<string, object>>)[kind]!)]
}

type Listed = PartlyRefused['steps'][number]

/** Of a step without a uid: something to refer to in messages; it cannot be named as an input unless it has one. */
function defaultName(step: Listed, before: readonly Listed[], outputs: ReadonlyMap<string, unknown>): string {
  const kindName = (of: Listed): string => ('refused' in of ? 'refused' : kindOf(of))
  const kind = kindName(step)
  const name = `${kind}-${before.filter((other) => kindName(other) === kind).length + 1}`
  return outputs.has(name) ? `${name}-${before.length}` : name
}

function settingsOf(settings: PipelineSpec['settings']): Settings {
  const { deadLetters, audit, ...others } = settings ?? {}
  return {
    ...(others as Settings),
    ...(deadLetters && { deadLetters: asideOf(deadLetters) }),
    ...(audit !== undefined && { audit: typeof audit === 'boolean' ? audit : asideOf(audit) }),
  }
}

const asideOf = (place: { readonly kafka?: string } | { readonly log?: string }) =>
  'log' in place ? log.sink<never>(place.log!) : kafka.sink<never>((place as { kafka: string }).kafka)

/** What only the graph as a whole shows is said of the step it names. */
function planned(spec: Pick<PartlyRefused, 'steps'>, made: JobDefinition): void {
  try {
    planJob(made)
  } catch (thrown) {
    const uid = thrown instanceof WeirError ? thrown.facts['uid'] : undefined
    const at = made.graph.nodes.findIndex((node) => node.uid === uid)
    const step = spec.steps.findIndex((of) => of.uid === uid)
    const isOfGraph = thrown instanceof WeirError && thrown.code.startsWith('GRAPH_')
    if (!isOfGraph && (typeof uid !== 'string' || (step < 0 && at < 0))) throw thrown
    const { message, remedy } = problemOf(thrown, [])
    throw new StepRefused({ path: step < 0 ? ['steps'] : ['steps', step], message, remedy })
  }
}
