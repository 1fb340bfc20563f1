import { expect, test } from 'vitest'
import { taskBars, type CheckpointTask } from './task-bars.ts'

const NOTHING = { alignMs: null, syncMs: null, asyncMs: null, cutMs: null, prepareMs: null, uploadMs: null }
const task = (subtask: number, over: Partial<CheckpointTask>): CheckpointTask => ({
  ...{ subtask, taskManagerId: 'tm', status: 'acknowledged', ...NOTHING, reason: null },
  ...over,
})

test('a bar goes from the trigger over align and sync to durable, with what went on at the same time in it', () => {
  const times = { alignMs: 20, syncMs: 10, cutMs: 50, asyncMs: 100, uploadMs: 45, prepareMs: 5 }
  const [bar] = taskBars([task(0, times)])
  expect(bar!.segments).toEqual([
    { part: 'wait', from: 0, to: 0.2 },
    { part: 'align', from: 0.2, to: 0.4 },
    { part: 'sync', from: 0.4, to: 0.5 },
    { part: 'async', from: 0.5, to: 1 },
    { part: 'upload', from: 0.5, to: 0.95 },
    { part: 'prepare', from: 0.5, to: 0.55 },
  ])
  expect(bar!.told).toBe(
    'subtask 0: aligned 20 ms, stood still 10 ms, async 50 ms, upload 45 ms, prepared 5 ms, altogether 100 ms',
  )
})

test('times of several stages that overlap never leave the bar', () => {
  const [bar] = taskBars([task(0, { alignMs: 90, syncMs: 80, cutMs: 50, asyncMs: 60, uploadMs: 70, prepareMs: 0 })])
  expect(bar!.segments.every(({ from, to }) => from >= 0 && to > from && to <= 1)).toBe(true)
})

test('what an older task-manager does not tell is one piece', () => {
  const [bar] = taskBars([task(0, { alignMs: 1, syncMs: 1, asyncMs: 100 })])
  expect(bar!.segments).toEqual([{ part: 'async', from: 0, to: 1 }])
})

test('those that failed stand in front with their reason, then the slowest', () => {
  const bars = taskBars([
    task(0, { asyncMs: 5, cutMs: 1 }),
    task(1, { asyncMs: 9, cutMs: 1 }),
    task(2, { status: 'unanswered' }),
    task(3, { status: 'late', reason: 'waited for in[1]' }),
    task(4, { status: 'declined', reason: 'OBJECT_STORE_UNAVAILABLE: away' }),
  ])
  expect(bars.map((bar) => bar.task.subtask)).toEqual([4, 3, 2, 1, 0])
  expect(bars.slice(0, 3).map(({ told }) => told)).toEqual([
    'subtask 4: OBJECT_STORE_UNAVAILABLE: away',
    'subtask 3: waited for in[1]',
    'subtask 2: unanswered',
  ])
})
