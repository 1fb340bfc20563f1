import type { SubtaskSnapshot } from '@weir/checkpoint'
import {
  defaultSettings,
  type KnownSchema,
  type PlanSummary,
  type SegmentState,
  type StoredSchema,
} from '@weir/dataflow'
import { subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { judgeSchemas } from './start-schemas.ts'

const plan = (schema: KnownSchema | null): PlanSummary => ({
  ...{ version: 1, name: 'j', settings: defaultSettings, edges: [], stages: 1, sources: [], sinks: [] },
  nodes: [{ uid: 'sum', kind: 'reduce', config: {}, stage: 0, states: [{ name: 'accumulator', schema }] }],
})
const total = (version: number, since = 1): KnownSchema => ({ name: 'total', version, since })
const of = (schema: StoredSchema | null): SegmentState => ({ operatorUid: 'sum', name: 'accumulator', rows: 1, schema })
/** One subtask with a segment for each. */
const holding = (...segments: { readonly states?: readonly SegmentState[]; readonly without?: string[] }[]) => {
  const chain = segments.map((segment, i) => ({ key: `s${i}`, ...segment }))
  const rest = { sources: {}, sinks: {}, watermarks: {}, recordsIn: 0 }
  return [{ subtask: subtask(0), segments: [{ stage: 0, chain }], ...rest }] satisfies SubtaskSnapshot[]
}
const judged = (subtasks: SubtaskSnapshot[], before: KnownSchema | null, now: KnownSchema | null): string[] => {
  const { problems, notes } = judgeSchemas(subtasks, plan(before), plan(now))
  return [...problems.map(({ code }) => code), ...notes]
}
const migrated = (from: number, to: number): string =>
  `state "accumulator" of "sum" is migrated from version ${from} to ${to}`

test('the segments say of which version they are; a plan may be ahead of them', () => {
  // The first epoch of a run that was started from version 1: its plan has version 2 already.
  expect(judged(holding({ states: [of(null)] }), total(2), total(3))).toEqual([migrated(1, 3)])
  expect(judged(holding({ states: [of(total(2))] }), total(2), total(2))).toEqual([])
})

test('where segments do not say, their plan does', () => {
  expect(judged(holding({}), total(2), total(3))).toEqual([migrated(2, 3)])
  expect(judged(holding({}), null, total(2, 2))).toEqual(['STATE_MIGRATION_MISSING'])
})

test.each([
  ['a later build', total(3), total(2), ['STATE_SCHEMA_NEWER']],
  ['a build without a schema', total(2), null, ['STATE_SCHEMA_NEWER']],
  ['a missing step', total(1), total(3, 2), ['STATE_MIGRATION_MISSING']],
  ['another name', { name: 'saldo', version: 2 }, total(2), ['STATE_SCHEMA_OTHER']],
])('refused: %s', (_, stored, known, expected) => {
  const subtasks = holding({ states: [of(stored)] }, { states: [of(stored)] })
  expect(judged(subtasks, null, known)).toEqual(expected) // once, however many segments have it
})

test('state that was given up, and state the build has not, are no matter of schemas', () => {
  const newer = [of(total(9))]
  expect(judged(holding({ states: newer, without: ['sum'] }), null, total(1))).toEqual([])
  expect(judged(holding({ states: newer, without: ['sum/accumulator'] }), null, total(1))).toEqual([])
  expect(judged(holding({ states: [{ ...of(total(9)), operatorUid: 'gone' }] }), null, total(1))).toEqual([])
})
