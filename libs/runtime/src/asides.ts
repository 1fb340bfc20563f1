/** The way aside in one slice: records that are refused, and asides that pass through, until a sink has them. */
import {
  KnownPoison,
  recordAt,
  refuseNone,
  type DeadLetterPlan,
  type Refusal,
  type Refuse,
  type SinkAsides,
  type SinkNode,
  type SourceBatch,
  type SourceNode,
  type SourceOrigins,
  type SourceReader,
} from '@weir/dataflow'
import { placeOf, type AsideRecord } from '@weir/model'
import { handOnClaims } from './claims.ts'
import { deadLettersOf, elementsOf, isOfRecord } from './dead-letters.ts'
import { awaitLater } from './flow.ts'
import type { Sampled } from './record-traces.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

export function asidesOf(
  scope: SliceScope,
  refused: Refusal[],
  index: number,
  { uid, descriptor }: SinkNode,
): SinkAsides | null {
  const { deadLetters, audit } = scope.options.plan.job.settings
  if (deadLetters === null && audit === null) return null
  const topics = [deadLetters, audit].flatMap((to) =>
    to?.connector === descriptor.connector ? [String(to['topic'])] : [],
  )
  const known = deadLetters && new KnownPoison(uid, scope.poison)
  return { topics, refuse: refuseAt(scope, refused, index), known, audit: scope.audit?.sink(index) ?? null }
}

export function refuseAt(scope: SliceScope, refused: Refusal[], index: number): Refuse {
  const plan = scope.options.plan.deadLetters
  if (plan === null) return refuseNone
  const operatorUid = scope.node(index).uid
  return ({ keys, values, timestamps, origins }, i, error) => {
    if (!isOfRecord(error)) throw error
    const key = keys === null ? null : keys[i]!
    const origin = origins && {
      place: origins.places[i]!,
      offset: origins.offsets[i]!,
      ordinal: origins.ordinals === null ? null : origins.ordinals[i]!,
    }
    const whole = plan.whole[index]!
    const [value, timestamp] = [values[i], timestamps[i]!]
    refused.push({ operatorUid, error, value, key, timestamp, origin: origin ?? null, record: null, whole })
  }
}

/** Null: nobody asks where records were read. */
export function sourceOrigins(
  scope: SliceScope,
  run: StageRun,
  node: SourceNode,
  polled: SourceBatch,
  sampled: Sampled | null,
): SourceOrigins | null {
  const { deadLetters, carries, retries } = scope.options.plan
  if (carries === 'nothing') return null
  const place = placeOf(run.stage.head, polled.split)
  const traces = carries === 'traces'
  return {
    place,
    traces,
    ...(sampled && { sampled: sampled.contexts }),
    retries,
    refuse: deadLetters && sourceRefusals(run, node, { polled, place, plan: deadLetters }),
  }
}

function sourceRefusals(
  run: StageRun,
  node: SourceNode,
  { polled, place, plan }: { polled: SourceBatch; place: number; plan: DeadLetterPlan },
): SourceOrigins['refuse'] {
  return (i, error) => {
    const raw = polled.kind === 'raw' ? polled.raw : null
    const offset = raw === null ? (polled as SourceBatch & { kind: 'values' }).offsets[i]! : raw.offsets[i]!
    if (offset < (run.splits?.get(polled.split)?.replayUntil ?? 0)) return
    run.refused.push({
      operatorUid: node.uid,
      error,
      value: raw === null ? (polled as SourceBatch & { kind: 'values' }).values[i] : undefined,
      key: null,
      timestamp: null,
      origin: { place, offset, ordinal: null },
      record: raw && recordAt(raw, i),
      whole: plan.whole[run.stage.head]!,
    })
  }
}

/** What the stage has refused so far. */
export async function putAside(scope: SliceScope, run: StageRun): Promise<void> {
  const { jobId, attempt, subtask, plan } = scope.options
  const refusals = run.refused.splice(0)
  await handOnClaims(scope, refusals)
  const options = { plan: plan.deadLetters!, nodes: plan.job.graph.nodes, jobId, attempt, subtask }
  const readerOf = (source: number): SourceReader => scope.stages.find((s) => s.stage.head === source)!.source!.reader
  for (const element of elementsOf(await deadLettersOf(refusals, options, readerOf))) passAside(scope, run, element)
}

/** Into a transaction here, or on to the stage that has one. */
export function passAside(scope: SliceScope, run: StageRun, records: readonly AsideRecord[]): void {
  const route = scope.options.plan.deadLetters!.routes[run.stage.index]!
  if ('output' in route) return run.outputs[route.output]!.aside(records, scope.options.subtask)
  const node = scope.node(route.sink)
  const sink = run.continuous?.sink ?? run.sinks.find((s) => s.node === node)!.sink
  const full = sink.writeAside(records)
  awaitLater(run, full)
}
