import { expect, test } from 'vitest'
import type { JobGraph } from './layout.ts'
import type { Slice } from './view.ts'
import { NO_FLOWS, flowing, worksOf } from './work.ts'

const part = (uid: string, stage: number) => ({ uid, stage, kind: 'map', connector: null, place: null, states: [] })
const graph: JobGraph = { parallelism: 2, nodes: [part('in', 0), part('paid', 0), part('sum', 1)], edges: [] }
const slice = (over: Partial<Slice>) => ({ stages: [], operators: [], ...over })
const stage = (stage: string, busyMsPerSecond: number, backPressuredMsPerSecond: number) => ({
  ...{ stage, busyMsPerSecond, backPressuredMsPerSecond, idleMsPerSecond: 0 },
})

test('a stage is what its worst subtask is: held up by what lies behind it, busy, or idle', () => {
  const slices = [
    slice({ stages: [stage('in', 100, 20), stage('sum', 700, 0)] }),
    slice({ stages: [stage('in', 300, 600), stage('sum', 100, 0), stage('gone', 900, 0)] }),
  ]
  expect(worksOf(graph, { slices })).toEqual(
    new Map([
      [0, { tone: 'held', told: 'back-pressured 60 %' }],
      [1, { tone: 'busy', told: 'busy 70 %' }],
    ]),
  )
  expect(worksOf(graph, { slices: [slice({ stages: [stage('in', 10, 0)] })] }).get(0)).toEqual({
    ...{ tone: 'idle', told: 'busy 1 %' },
  })
  expect(worksOf(graph, { slices: [] }).size).toBe(0)
})

test('what flows is counted over all subtasks between two looks; a restart begins anew', () => {
  const job = (attempt: number, records: number) => ({
    attempt,
    slices: [1, 2].map(() => slice({ operators: [{ operator: 'in', recordsIn: 0, recordsOut: records }] })),
  })
  let flows = flowing(NO_FLOWS, 1_000, job(1, 100))
  expect(flows.perSecond.size).toBe(0)
  expect(flowing(flows, 2_999, job(1, 900))).toBe(flows)
  flows = flowing(flows, 3_000, job(1, 600))
  expect(flows.perSecond.get('in')).toBe(500)
  flows = flowing(flows, 3_100, job(2, 700))
  expect(flows.perSecond.size).toBe(0)
  expect(flowing(flows, 6_000, job(2, 0)).perSecond.size, 'one of them began anew').toBe(0)
})
