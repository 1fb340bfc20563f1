import { planJob, type GraphNode } from '@weir/dataflow'
import { testJob } from '@weir/sdk/testing'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { binaryFormats } from './job/binary-formats.ts'
import { jobOf } from './job/index.ts'
import { plannedFormats, runningFormats } from './formats.fixture.ts'
import { parsePipeline } from './index.ts'
import { ORDERS_IN, planned, running as runningPairs, type Pair } from './pairs.fixture.ts'

const parsed = ({ yaml }: Pair) => parsePipeline(yaml, 'twin.yaml')
const running = { ...runningPairs, ...runningFormats }
const pairs = Object.entries({ ...running, ...planned, ...plannedFormats })

describe.each(pairs)('%s', (_, pair) => {
  test('is the graph that TypeScript makes', () => {
    const [made, twin] = [planJob(parsed(pair).job), planJob(pair.job)]
    expect(JSON.parse(made.canonical)).toEqual(JSON.parse(twin.canonical))
    expect(made.canonical).toBe(twin.canonical)
    expect({ carries: made.carries, stages: made.stages }).toEqual({ carries: twin.carries, stages: twin.stages })
  })

  test('comes back from JSON, and from YAML made of that', () => {
    const { resolved, job } = parsed(pair)
    const { canonical } = planJob(job)
    expect(planJob(jobOf(JSON.parse(JSON.stringify(resolved)) as typeof resolved, binaryFormats)).canonical).toBe(
      canonical,
    )
    const { values: _, ...spec } = resolved
    expect(parsePipeline(stringify(spec), 'again.yaml').resolved).toEqual(resolved)
  })
})

test.each(Object.entries(running))('%s: puts out what its twin does, also behind a restart', async (_, pair) => {
  const sinks = pair.job.graph.nodes.filter((node: GraphNode) => node.kind === 'sink').map(({ uid }) => uid)
  const [made, twin] = await Promise.all(
    [parsed(pair).job, pair.job].map(async (job) => {
      const t = testJob(job, { parallelism: 2 })
      for (const [i, orders] of ORDERS_IN.entries()) {
        await t.feed('orders', orders)
        await t.checkpoint()
        if (i === 1) await t.restart()
      }
      await t.end()
      return sinks.map((uid) => t.committed(uid))
    }),
  )
  expect(made).toEqual(twin)
  expect(twin!.flat().length).toBeGreaterThan(0)
})
