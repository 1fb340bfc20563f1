/**
 * Which key groups of a checkpoint a record needs. Its keys are known when the functions in front of a keyBy have run, and operators
 * read their state when they open: so the record goes through once with no state behind the first exchange, and the rows it asks
 * for are what is restored the second time.
 */
import { planJob, type Plan, type SourceBatch } from '@weir/dataflow'
import { Replay, type ReplayOptions } from './replay.ts'

/** By stage; null: all of them, since what they are cannot be told from the record. */
export type KeyGroups = (stage: number) => ReadonlySet<number> | null

/**
 * @param options with a job of its own: what its functions remember between two calls is not that of the replay. Calls outside are
 * never made here. Throws as `Replay.open`.
 */
export async function keyGroupsOf(options: Omit<ReplayOptions, 'groups'>, batch: SourceBatch): Promise<KeyGroups> {
  const plan = planJob(options.job)
  const whole = wholeStages(plan)
  const own = new Set([options.partition])
  const isSource = (stage: number): boolean => plan.stages[stage]!.inputs.length === 0
  const fromSource: KeyGroups = (stage) => (whole.has(stage) ? null : isSource(stage) ? own : new Set())
  // Neither are those stages restored that need everything: what they put out is not looked at.
  const probe = await Replay.open({
    ...options,
    allowCalls: false,
    groups: (stage) => (isSource(stage) ? fromSource(stage) : new Set()),
  })
  try {
    const { failure, deadLetters, suppressed } = await probe.record(batch)
    const met = probe.groupsMet()
    // It ended on the way, and may go on from there when it is replayed.
    const cameThrough = failure === null && deadLetters.length === 0 && (suppressed.length === 0 || !options.allowCalls)
    return (stage) => {
      if (whole.has(stage) || isSource(stage)) return fromSource(stage)
      const groups = met.get(stage) ?? new Set()
      return groups.size === 0 && !cameThrough ? null : groups
    }
  } finally {
    await probe.close()
  }
}

/** Operators that look at more than the rows of a record's key. */
const LOOK_AROUND = ['resumable', 'broadcast', 'withBroadcast']

/** Their keys depend on the state of the stages in front of them, or they look at more than keys. */
function wholeStages({ stages, job }: Plan): ReadonlySet<number> {
  const isSource = (stage: number): boolean => stages[stage]!.inputs.length === 0
  const looksAround = (node: number): boolean => LOOK_AROUND.includes(job.graph.nodes[node]!.kind)
  const whole = stages.filter(
    ({ head, nodes, inputs }) =>
      [head, ...nodes].some(looksAround) ||
      inputs.some(({ stage, route }) => !isSource(stage) || route === 'broadcast'),
  )
  return new Set(whole.map(({ index }) => index))
}
