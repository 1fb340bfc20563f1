/** What the parts of a graph do at present, out of what the subtasks say. Pure. */
import type { JobGraph } from './layout.ts'
import type { Job, Slice } from './view.ts'

/** Where the time of a stage goes. */
export interface Work {
  readonly tone: 'held' | 'busy' | 'idle'
  /** For people. */
  readonly told: string
}

/** Above it a stage is called what it spends its time with (0 … 1,000 ms in a second). */
const MOSTLY_MS = 500

/** By stage, of the subtask that has most to do or waits longest; empty before the first second. */
export function worksOf(
  { nodes }: JobGraph,
  { slices }: { readonly slices: readonly Pick<Slice, 'stages'>[] },
): ReadonlyMap<number, Work> {
  const stageOf = new Map(nodes.map(({ uid, stage }) => [uid, stage]))
  const most = new Map<number, { busy: number; held: number }>()
  for (const { stage: head, busyMsPerSecond, backPressuredMsPerSecond } of slices.flatMap(({ stages }) => stages)) {
    const stage = stageOf.get(head)
    if (stage === undefined) continue
    const { busy, held } = most.get(stage) ?? { busy: 0, held: 0 }
    most.set(stage, { busy: Math.max(busy, busyMsPerSecond), held: Math.max(held, backPressuredMsPerSecond) })
  }
  return new Map([...most].map(([stage, times]) => [stage, workOf(times)]))
}

function workOf({ busy, held }: { busy: number; held: number }): Work {
  const percent = (ms: number): string => `${Math.round(ms / 10)} %`
  if (held >= MOSTLY_MS) return { tone: 'held', told: `back-pressured ${percent(held)}` }
  return { tone: busy >= MOSTLY_MS ? 'busy' : 'idle', told: `busy ${percent(busy)}` }
}

/** Records that operators put out, by uid, between two looks. */
export interface Flows {
  readonly perSecond: ReadonlyMap<string, number>
  readonly last: { readonly at: number; readonly attempt: number; readonly out: ReadonlyMap<string, number> } | null
}
export const NO_FLOWS: Flows = { perSecond: new Map(), last: null }
/** Subtasks report once a second: a look sooner would show nothing, and then twice as much. */
const LOOK_MS = 2_000

/** @param at ms since 1970. A restart, of all subtasks or some, begins anew. */
export function flowing(
  flows: Flows,
  at: number,
  { attempt, slices }: Pick<Job, 'attempt'> & { readonly slices: readonly Pick<Slice, 'operators'>[] },
): Flows {
  const { last } = flows
  if (last !== null && last.attempt === attempt && at < last.at + LOOK_MS) return flows
  const out = new Map<string, number>()
  for (const { operator, recordsOut } of slices.flatMap(({ operators }) => operators))
    out.set(operator, (out.get(operator) ?? 0) + recordsOut)
  const perSecond = new Map<string, number>()
  for (const [operator, records] of out) {
    const before = last?.attempt === attempt ? last.out.get(operator) : undefined
    if (before !== undefined && records >= before)
      perSecond.set(operator, ((records - before) / (at - last!.at)) * 1_000)
  }
  return { perSecond, last: { at, attempt, out } }
}
