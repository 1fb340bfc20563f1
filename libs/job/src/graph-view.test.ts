import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { graphView } from './graph-view.ts'

const descriptor = { connector: 'kafka', topic: 'orders', startFrom: 'earliest' }
const plan: PlanSummary = {
  ...{ version: 1, name: 'orders', settings: { ...defaultSettings, parallelism: 4 }, stages: 2 },
  nodes: [
    { uid: 'in', kind: 'source', config: { descriptor }, stage: 0 },
    { uid: 'user', kind: 'keyBy', config: {}, stage: 1 },
    { uid: 'sum', kind: 'reduce', config: { initial: 0 }, stage: 1, states: [{ name: 'value', schema: null }] },
    {
      ...{ uid: 'out', kind: 'sink', stage: 1 },
      config: { descriptor: { connector: 'postgres', url: 'postgres://u:secret@h/db', table: 'sums' } },
    },
  ],
  ...{
    edges: [
      [0, 1],
      [1, 2],
      [2, 3],
    ],
    sources: ['in'],
    sinks: ['out'],
  },
}

test('a graph says what it reads and writes, where records change the subtask, and no credentials', () => {
  const view = graphView(plan)
  expect(view).toEqual({
    ...{ name: 'orders', parallelism: 4 },
    nodes: [
      { uid: 'in', kind: 'source', connector: 'kafka', place: 'orders', stage: 0, states: [] },
      { uid: 'user', kind: 'keyBy', connector: null, place: null, stage: 1, states: [] },
      { uid: 'sum', kind: 'reduce', connector: null, place: null, stage: 1, states: ['value'] },
      { uid: 'out', kind: 'sink', connector: 'postgres', place: 'sums', stage: 1, states: [] },
    ],
    edges: [
      { from: 'in', to: 'user', by: 'exchange' },
      { from: 'user', to: 'sum', by: 'chained' },
      { from: 'sum', to: 'out', by: 'chained' },
    ],
  })
  expect(JSON.stringify(view)).not.toContain('secret')
})
