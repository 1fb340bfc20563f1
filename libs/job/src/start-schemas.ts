/**
 * Can a build read the values it is started from? Told from what the segments say they hold, and not from the plan that was
 * stored beside them: the first epoch of a run still names the segments of the build before it.
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import { judgeSchema, schemaRefused, type PlanSummary, type SegmentRef, type StoredSchema } from '@weir/dataflow'
import type { StartProblem } from './start-from.ts'

export interface SchemaFindings {
  readonly problems: readonly StartProblem[]
  /** What is migrated. */
  readonly notes: readonly string[]
}

/** States that the build does not have are no matter of schemas. */
export function judgeSchemas(
  subtasks: readonly SubtaskSnapshot[],
  before: PlanSummary,
  now: PlanSummary,
): SchemaFindings {
  const problems: StartProblem[] = []
  const notes: string[] = []
  for (const { operatorUid, name, schema } of storedSchemas(subtasks, before)) {
    const known = now.nodes.find(({ uid }) => uid === operatorUid)?.states?.find((state) => state.name === name)
    if (known === undefined) continue
    const refused = schemaRefused({ operatorUid, state: name }, schema, known.schema)
    if (refused !== null) problems.push({ code: refused.code, uid: operatorUid, message: refused.message })
    else if (judgeSchema(schema, known.schema) === 'migrates') {
      const [from, to] = [schema?.version ?? 1, known.schema!.version]
      notes.push(`state "${name}" of "${operatorUid}" is migrated from version ${from} to ${to}`)
    }
  }
  return { problems, notes }
}

interface StoredState {
  readonly operatorUid: string
  readonly name: string
  readonly schema: StoredSchema | null
}

/** Of segments that do not say, what the plan beside them declares. */
function storedSchemas(subtasks: readonly SubtaskSnapshot[], plan: PlanSummary): Iterable<StoredState> {
  const found = new Map<string, StoredState>()
  const declared = plan.nodes.flatMap(({ uid, states = [] }) =>
    states.map(({ name, schema }) => ({ operatorUid: uid, name, schema })),
  )
  for (const { segments } of subtasks) {
    for (const { chain } of segments as readonly { readonly chain: readonly SegmentRef[] }[]) {
      for (const { states = declared, without = [] } of chain) {
        for (const { operatorUid, name, schema } of states) {
          if (without.includes(operatorUid) || without.includes(`${operatorUid}/${name}`)) continue
          // Two versions only behind a rescale in the middle of a migration: each has to be readable.
          found.set(JSON.stringify([operatorUid, name, schema]), { operatorUid, name, schema })
        }
      }
    }
  }
  return found.values()
}
