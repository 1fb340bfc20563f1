/**
 * From refused records to finished dead letters. What failed behind the source is read again from its topic, so that a
 * dead letter always holds the record as it came; one read serves the neighbours too.
 */
import { deadLetter, type DeadLetterPlan, type GraphNode, type Refusal, type SourceReader } from '@weir/dataflow'
import { sourceOf, splitOf, type AsideRecord, type AttemptId, type TopicRecord, type WeirError } from '@weir/model'

/** Bytes of asides in one element of a channel, unless a single record is larger. */
const ELEMENT_BYTES_MAX = 4 << 20
/** Errors of programs, not of records: they would send every record aside; and what is to stop the job. */
const OF_PROGRAMS = ['OPERATOR_RETURNED_PROMISE', 'SOURCE_WITHOUT_DECODER', 'CLAIM_CONFLICT', 'CLAIMS_WITHOUT_ORIGIN']

export interface DeadLettersOptions {
  readonly plan: DeadLetterPlan
  readonly nodes: readonly GraphNode[]
  readonly jobId: string
  readonly attempt: AttemptId
  readonly subtask: number
}

/** False: it stops the attempt, as in a job without dead letters. */
export const isOfRecord = (error: WeirError): boolean => error.kind === 'invalid' && !OF_PROGRAMS.includes(error.code)

/** In the order of the refusals. `reader`: of a source, by its node. */
export async function deadLettersOf(
  refusals: readonly Refusal[],
  options: DeadLettersOptions,
  reader: (source: number) => SourceReader,
): Promise<AsideRecord[]> {
  const wanted = new Map<number, Set<number>>()
  for (const { origin, record } of refusals) {
    if (origin === null || record !== null) continue
    const offsets = wanted.get(origin.place)
    if (offsets === undefined) wanted.set(origin.place, new Set([origin.offset]))
    else offsets.add(origin.offset)
  }
  const found = new Map<number, Map<number, TopicRecord | null>>()
  await Promise.all(
    [...wanted].map(async ([place, set]) => {
      const offsets = [...set].sort((a, b) => a - b)
      const records = await reader(sourceOf(place)).originals?.(splitOf(place), offsets)
      found.set(place, new Map(offsets.map((offset, i) => [offset, records?.[i] ?? null])))
    }),
  )
  const { plan, nodes, jobId, attempt, subtask } = options
  return refusals.map((refusal) => {
    const { origin } = refusal
    const source = origin && nodes[sourceOf(origin.place)]
    const topic = source?.kind === 'source' ? source.descriptor['topic'] : undefined
    const readFrom = typeof topic === 'string' ? { topic, partition: splitOf(origin!.place) } : null
    const place = { topic: plan.topic, jobId, attempt, origin: readFrom, partition: subtask }
    return deadLetter(refusal, place, origin && (found.get(origin.place)?.get(origin.offset) ?? null))
  })
}

/** Runs that fit into one element. */
export function elementsOf(records: readonly AsideRecord[]): AsideRecord[][] {
  const elements: AsideRecord[][] = []
  let bytes = Number.POSITIVE_INFINITY // also an empty record (a tombstone without a key) begins the first element
  for (const record of records) {
    const size = (record.key?.length ?? 0) + (record.value?.length ?? 0)
    if (bytes + size > ELEMENT_BYTES_MAX) {
      elements.push([])
      bytes = 0
    }
    elements.at(-1)!.push(record)
    bytes += size
  }
  return elements
}
