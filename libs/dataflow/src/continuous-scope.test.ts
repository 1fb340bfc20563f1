import type { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { jobOf, line, node, settlement } from './planner.fixture.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'

const settings = { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 100 } } as const
const refusalOf = (job: JobDefinition): WeirError => thrown(() => planJob({ ...job, settings }))

test('the continuous scope takes a chain from Kafka to Kafka that is keyed by its source', () => {
  const job = line(node.source('orders'), node.keyedBySource('by-user'), node.reduce('balance'), node.sink('balances'))
  expect(planJob({ ...job, settings }).summary.settings.commit).toEqual({ scope: 'continuous', intervalMs: 100 })
})

test('the continuous scope refuses what a replay could not rebuild: a custom operator, and a source that skips', () => {
  const own = line(node.source('in'), node.resumable('own'), node.sink('out'))
  expect(refusalOf(own)).toMatchObject({ facts: { uid: 'own', reason: 'not-deterministic' } })
  const descriptor = { connector: 'kafka', topic: 'in', outOfRange: 'latest' }
  const skipping = line({ ...node.source('in'), descriptor } as GraphNode, node.filter('paid'), node.sink('out'))
  expect(refusalOf(skipping)).toMatchObject({ facts: { uid: 'in', reason: 'source' } })
})

test('the continuous scope refuses a shuffle, and says what to write instead', () => {
  expect(refusalOf(settlement())).toMatchObject({
    code: 'CONTINUOUS_SCOPE_REFUSED',
    kind: 'invalid',
    facts: { uid: 'by-user', reason: 'shuffle' },
    message: expect.stringContaining('.keyedBySource(') as string,
  })
})

test.each([
  ['source', 0, 'orders'],
  ['sink', 1, 'balances'],
] as const)('the continuous scope refuses a %s that is no Kafka topic', (reason, at, uid) => {
  const nodes = [node.source('orders'), node.sink('balances')]
  nodes[at] = { ...nodes[at], descriptor: { connector: 'log', topic: uid } } as GraphNode
  expect(refusalOf(line(...nodes)).facts).toMatchObject({ uid, reason })
})

test('the continuous scope takes a process with event timers, and refuses timers of processing time', () => {
  const job = (kind: 'event' | 'processing'): JobDefinition =>
    line(node.source('in'), node.keyedBySource('by'), node.process('p', { timers: { t: kind } }), node.sink('out'))
  expect(planJob({ ...job('event'), settings }).stages).toHaveLength(1)
  expect(refusalOf(job('processing'))).toMatchObject({
    code: 'CONTINUOUS_SCOPE_REFUSED',
    facts: { uid: 'p', reason: 'not-deterministic' },
    message: expect.stringContaining("timers: { t: 'event' }") as string,
  })
})

test('the continuous scope refuses a second source: two jobs', () => {
  const nodes = [node.source('orders'), node.source('refunds'), node.sink('a'), node.sink('b')]
  const job = jobOf(nodes, [
    [0, 2],
    [1, 3],
  ])
  expect(refusalOf(job).facts).toMatchObject({ uid: 'refunds', reason: 'sources' })
})
