/**
 * From a job's graph to its plan. Pure and deterministic: the client plans to submit, the task-manager plans the same
 * bundle to run, and both must reach the same canonical text.
 *
 *     orders ─ filter ─▶ keyBy ─▶ reduce ─▶ sink            stage 0: orders, filter   → keyBy
 *                             └─▶ window ─▶ sink            stage 1: reduce, sink, window, sink
 *
 * A stage begins at a source or behind a keyBy and ends at sinks and keyBys; what operators with several inputs do is in `stages.ts`.
 * Nothing else moves records between tasks; a keyedBySource stays in its source's stage.
 */
import { isJobId } from '@weir/model'
import { checkCallsFit } from './async-map-plan.ts'
import { canonicalJson } from './canonical.ts'
import { checkClaimsFit, claimedWindow } from './claim-node.ts'
import { checkContinuousScope } from './continuous-scope.ts'
import type { GraphNode, JobDefinition } from './graph.ts'
import type { Plan, PlanSummary } from './plan.ts'
import { audited } from './plan/audit.ts'
import { routed } from './plan/dead-letters.ts'
import { checkEdges, checkEnds, checkPerSplit, checkState } from './plan/edge-checks.ts'
import { checkNodes } from './plan/node-checks.ts'
import { configOf } from './plan/node-config.ts'
import { refused } from './plan/refused.ts'
import { takesContext } from './record-context.ts'
import { validateSettings } from './settings.ts'
import { checkSideOutputs } from './side-output.ts'
import { cutStages, forwarded } from './stages.ts'
import { plannedStates } from './state-schema.ts'
import { unalignedPlanOf } from './unaligned.ts'
import { checkWatermarkMode } from './watermark-mode.ts'

/**
 * Throws WeirError, kind `invalid`: `JOB_NAME_INVALID`, `SETTINGS_INVALID`, `WINDOW_INVALID`, `GRAPH_TOO_LARGE`, `GRAPH_UID_INVALID`,
 * `GRAPH_DUPLICATE_UID`, `GRAPH_CYCLE`, `GRAPH_INPUTS`, `GRAPH_NO_SOURCE`, `GRAPH_NO_SINK`, `GRAPH_UNKEYED_STATE`,
 * `GRAPH_KEYED_BY_SOURCE`, `GRAPH_SIDE_OUTPUT`, `CONTINUOUS_SCOPE_REFUSED`, `WATERMARK_MODE_REFUSED`, `GRAPH_NODE_INVALID`, `STATE_SCHEMA_INVALID`, `DEAD_LETTERS_INVALID`,
 * `AUDIT_INVALID`, `CALLS_TOO_LONG`, `CLAIMS_TOO_LONG`, `CLAIMS_WITHOUT_ORIGIN`, `CLAIM_STORE_INVALID`, `UNALIGNED_REFUSED`, `NOT_CANONICAL` (a descriptor that is not plain JSON).
 */
export function planJob(job: JobDefinition): Plan {
  if (!isJobId(job.name)) {
    throw refused('JOB_NAME_INVALID', { name: job.name }, [
      `job name ${JSON.stringify(job.name)}: use 1 to 63 of a-z, 0-9 and "-", beginning with a letter or digit.`,
    ])
  }
  validateSettings(job.settings)
  const { nodes, edges } = job.graph
  checkNodes(nodes)
  const links = checkEdges(job.graph)
  checkEnds(nodes, links)
  const { stages, stageOf } = cutStages(nodes, links)
  checkState(nodes, links, stages, stageOf)
  checkSideOutputs(nodes, links.inputs)
  if (job.settings.commit.scope === 'continuous') checkContinuousScope(nodes)
  checkWatermarkMode(job)
  checkCallsFit(job)
  checkClaimsFit(job)
  const claimed = new Map(
    [...nodes.entries()].flatMap(([i, { kind }]) =>
      kind === 'idempotent' ? [[i, claimedWindow(nodes, links, i)] as const] : [],
    ),
  )

  for (const stage of stages) checkPerSplit(nodes, stage)
  const deadLetters = job.settings.deadLetters && routed(job.settings.deadLetters, nodes, links, stages)
  const audit = job.settings.audit && audited(job, links)
  const unaligned = unalignedPlanOf(job, stages)
  const forwards = forwarded(stages)
  const summary: PlanSummary = {
    version: 1,
    name: job.name,
    settings: job.settings,
    nodes: nodes.map((node, i) => {
      const states = plannedStates(node)
      const { uid, kind } = node
      return { uid, kind, config: configOf(node), stage: stageOf[i]!, ...(states.length > 0 && { states }) }
    }),
    edges,
    stages: stages.length,
    ...(forwards > 0 && { forwarded: forwards }),
    sources: nodes.filter((node) => node.kind === 'source').map((node) => node.uid),
    sinks: nodes.filter((node) => node.kind === 'sink').map((node) => node.uid),
  }
  const carries = carriedBy(job)
  const retries = job.settings.deadLetters !== null && nodes.some((n) => n.kind === 'keyedProcess' && n.passes === true)
  return {
    job,
    stages,
    deadLetters,
    audit,
    carries,
    retries,
    claimed,
    unaligned,
    summary,
    canonical: canonicalJson(summary),
  }
}

/** Does user code see where its records were read? Then batches carry it, which costs something on every record. */
function asksForOrigins(node: GraphNode): boolean {
  switch (node.kind) {
    case 'asyncMap':
    case 'idempotent':
      return true
    case 'filter':
      return takesContext(node.test)
    case 'map':
      return takesContext(node.map)
    case 'flatMap':
      return takesContext(node.flatMap)
    case 'keyedProcess':
    case 'resumable':
    case 'sink':
      return node.origins === true
    default:
      return false
  }
}

function carriedBy({ settings, graph }: JobDefinition): Plan['carries'] {
  if (settings.traceContext === true) return 'traces'
  const asked = settings.deadLetters !== null || graph.nodes.some(asksForOrigins)
  return asked ? 'origins' : 'nothing'
}
