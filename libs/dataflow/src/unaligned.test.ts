import type { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { line, node, settlement } from './planner.fixture.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'

const asked = { ...defaultSettings, checkpoint: { ...defaultSettings.checkpoint, unaligned: true } }
const chain = (...nodes: GraphNode[]): JobDefinition => ({ ...line(...nodes), settings: asked })

test('barriers overtake on keyed edges into an operator, after the time that was set', () => {
  const job = settlement()
  const stages = planJob(job).stages.map(({ inputs }) => inputs.length > 0)
  const timed = { ...asked.checkpoint, alignedTimeoutMs: 250 }
  expect(planJob(job).unaligned).toBeNull()
  expect(planJob({ ...job, settings: asked }).unaligned).toEqual({ afterMs: 0, stages })
  expect(planJob({ ...job, settings: { ...asked, checkpoint: timed } }).unaligned).toEqual({ afterMs: 250, stages })
  const automatic = { ...timed, unaligned: false }
  expect(planJob({ ...job, settings: { ...asked, checkpoint: automatic } }).unaligned?.afterMs).toBe(250)
})

test('B9: barriers never overtake on the edge into a sink', () => {
  const twoEdges = [node.source('in'), node.keyBy('a'), node.reduce('sum'), node.keyBy('b'), node.sink('out')]
  expect(planJob(chain(...twoEdges)).unaligned!.stages).toEqual([false, true, false])
})

test.each<[string, JobDefinition]>([
  ['edge-into-sink', chain(node.source('in'), node.keyBy('a'), node.sink('out'))],
  ['no-keyed-edge', chain(node.source('in'), node.filter('some'), node.sink('out'))],
  [
    'scope',
    {
      ...chain(node.source('in'), node.keyedBySource('by'), node.reduce('sum'), node.sink('out')),
      settings: { ...asked, commit: { scope: 'continuous', intervalMs: 100 } },
    },
  ],
])('B9: %s is refused, and what to do instead is said', (reason, job) => {
  const error = thrown(() => planJob(job)) as WeirError
  expect(error).toMatchObject({ code: 'UNALIGNED_REFUSED', kind: 'invalid', facts: { reason } })
  expect(error.message).toContain('Leave out checkpoint.unaligned')
})
