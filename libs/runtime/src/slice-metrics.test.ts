import { planJob, type GraphNode } from '@weir/dataflow'
import { WATERMARK_MAX, operatorUid } from '@weir/model'
import { systemClock } from './system/index.ts'
import { job, json, log as logs } from '@weir/sdk'
import { afterEach, expect, test } from 'vitest'
import { Fleet, World as LogWorld, closeAll } from './embedded.fixture.ts'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import type { SliceReport } from './slice-report.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(async () => {
  await stopAll()
  await closeAll()
})

const odd: GraphNode = { kind: 'filter', uid: operatorUid('odd'), test: (v) => Number(v) % 2 === 1 }

test('a slice tells what came to each operator, what it put out, and where the time of its stages goes', async () => {
  const input = records(...Array.from({ length: 10 }, (_, i): [string, number] => [String(i), i]))
  const chain = chainOf([node.source(0), odd, node.keyBy(String), node.concat('all'), node.sink('out')])
  const { run, until } = new World().start(chain, new MemoryLogSource([input], 3))
  await run()
  const { metrics } = await until('progress', (r) =>
    Boolean(r.metrics?.operators.some(({ operator, recordsIn }) => operator === 'out' && recordsIn === 5)),
  )
  expect(metrics!.operators).toEqual(
    expect.arrayContaining([
      { operator: 'in', recordsIn: 10, recordsOut: 10 },
      { operator: 'odd', recordsIn: 10, recordsOut: 5 },
      { operator: 'all', recordsIn: 5, recordsOut: 5 },
      { operator: 'out', recordsIn: 5, recordsOut: 0 },
    ]),
  )
  const { metrics: later } = await until(
    'progress',
    (r) => r.watermark === WATERMARK_MAX && r.metrics?.stages.length === 2,
  )
  expect(later!.stages.map(({ stage }) => stage)).toEqual(['in', 'by-all'])
  for (const { busyMsPerSecond: busy, idleMsPerSecond: idle, backPressuredMsPerSecond: held } of later!.stages)
    expect(busy + idle + held).toBe(1_000)
})

test('the first records are told when they are read, not with the next report', async () => {
  const world = new World()
  world.clock = { ...systemClock, after: () => () => {} }
  const chain = chainOf([node.source(0), node.keyBy(String), node.concat('all'), node.sink('out')])
  const { run, until } = world.start(chain, new MemoryLogSource([records(['a', 1], ['b', 2])], 3))
  await run()
  const { recordsIn } = await until('progress', (r) => r.recordsIn > 0 && r.watermark < WATERMARK_MAX)
  expect(recordsIn).toBe(2)
})

test('records of a log are told with their age when their epoch is committed', async () => {
  const lines = Array.from({ length: 30 }, (_, i) => ({ line: `${i}`, timestamp: 1_000 + i }))
  const world = await LogWorld.open(['out'], [lines, []])
  const plan = planJob(
    job('copy', { parallelism: 2 }, (flow) => {
      flow
        .from(logs.topic('in', { value: json<number>() }), 'in')
        .to(logs.sink('out', { value: json<number>() }), 'out')
    }),
  )
  const fleet = new Fleet(world, 1, plan)
  fleet.limit = 30
  await fleet.start(null)
  await fleet.until((told) => told.some((r) => r.type === 'progress' && r.recordsIn === 30))
  await fleet.commit(1, await fleet.checkpoint(1))
  await fleet.until((told) => ages(told) === 30)
})

const ages = (told: readonly SliceReport[]): number =>
  told.reduce(
    (sum, r) => sum + (r.type === 'progress' ? (r.metrics?.latency?.counts ?? []) : []).reduce((a, b) => a + b, 0),
    0,
  )
