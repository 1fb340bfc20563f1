/** Where the time of a checkpoint went, by subtask. Pure. */
import type { TaskCheckpointView } from '@weir/job'
import type { Unbranded } from '@weir/model'
import { milliseconds } from './view.ts'

/** As REST has it: `GET jobs/{id}/checkpoints/{epoch}/tasks`. */
export type CheckpointTask = Unbranded<TaskCheckpointView>

/** `prepare` and `upload` run at the same time, within `async`. */
export const PARTS = ['wait', 'align', 'sync', 'async', 'upload', 'prepare'] as const
export type Part = (typeof PARTS)[number]
export const PART_NAMES: Record<Part, string> = {
  wait: 'until its barriers came',
  align: 'align',
  sync: 'sync: stood still',
  async: 'async: until durable',
  upload: 'of it upload of state',
  prepare: 'and prepare of sinks',
}

export interface Segment {
  readonly part: Part
  /** 0 … 1 of the longest of all. */
  readonly from: number
  readonly to: number
}
export interface TaskBar {
  readonly task: CheckpointTask
  /** What it is made of; empty: it has not acknowledged. */
  readonly segments: readonly Segment[]
  /** For people. */
  readonly told: string
}

/** Those that failed first, then the slowest. */
export function taskBars(tasks: readonly CheckpointTask[]): readonly TaskBar[] {
  const longest = tasks.reduce((most, { asyncMs }) => Math.max(most, asyncMs ?? 0), 1)
  return tasks
    .toSorted((a, b) => rank(a) - rank(b) || (b.asyncMs ?? 0) - (a.asyncMs ?? 0) || a.subtask - b.subtask)
    .map((task) => ({ task, segments: segmentsOf(task, longest), told: toldOf(task) }))
}

const RANKS: Record<CheckpointTask['status'], number> = { declined: 0, late: 1, unanswered: 2, acknowledged: 3 }
const rank = ({ status }: CheckpointTask): number => RANKS[status]

/** The times of its stages overlap: what is shown of align and sync ends where the last stage had its snapshot. */
function segmentsOf(task: CheckpointTask, longest: number): readonly Segment[] {
  const { alignMs, syncMs, asyncMs, cutMs, prepareMs, uploadMs } = task
  if (asyncMs === null) return []
  const part = (name: Part, from: number, to: number): Segment[] =>
    to > from ? [{ part: name, from: from / longest, to: Math.min(to, asyncMs) / longest }] : []
  if (cutMs === null) return part('async', 0, asyncMs)
  const snapshot = Math.max(0, cutMs - (syncMs ?? 0))
  const aligned = Math.max(0, snapshot - (alignMs ?? 0))
  return [
    ...part('wait', 0, aligned),
    ...part('align', aligned, snapshot),
    ...part('sync', snapshot, cutMs),
    ...part('async', cutMs, asyncMs),
    ...part('upload', cutMs, cutMs + (uploadMs ?? 0)),
    ...part('prepare', cutMs, cutMs + (prepareMs ?? 0)),
  ]
}

function toldOf(task: CheckpointTask): string {
  const { subtask, status, reason, alignMs, syncMs, asyncMs, cutMs, prepareMs, uploadMs } = task
  if (asyncMs === null) return `subtask ${subtask}: ${reason ?? status}`
  const times = [
    ['aligned', alignMs],
    ['stood still', syncMs],
    ['async', cutMs === null ? null : Math.max(0, asyncMs - cutMs)],
    ['upload', uploadMs],
    ['prepared', prepareMs],
    ['altogether', asyncMs],
  ] as const
  const known = times.flatMap(([name, ms]) => (ms === null ? [] : [`${name} ${milliseconds(ms)}`]))
  return `subtask ${subtask}: ${known.join(', ')}`
}

/** Between the snapshot of the last stage and durable; null: not told. */
export const asyncOf = ({ asyncMs, cutMs }: CheckpointTask): number | null =>
  asyncMs === null || cutMs === null ? null : Math.max(0, asyncMs - cutMs)
