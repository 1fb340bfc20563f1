/** Sampled records of two slices on the embedded log: one trace each, over the exchange, up to the commit of what they led to. */
import { hash } from 'node:crypto'
import { planJob, type GraphNode, type JobSettings } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { job, json, log as logs } from '@weir/sdk'
import { afterEach, expect, test } from 'vitest'
import { Fleet, World, closeAll, type Line } from './embedded.fixture.ts'
import { World as SliceWorld, chainOf, node, records, stopAll } from './fixture.ts'
import type { RecordSpan, RecordTracePort } from './record-span.ts'
import { MemoryLogSource } from './testing/index.ts'

interface Payment {
  readonly user: string
  readonly cents: number
}

const payments = job('payments', { parallelism: 2 }, (flow) => {
  flow
    .from(logs.topic('in', { value: json<Payment>(), until: 'latest' }), 'in')
    .filter(({ cents }) => cents > 0, 'paid')
    .keyBy(({ user }) => user, 'by-user')
    .reduce('sum', 0, (sum, { cents }) => sum + cents)
    .to(logs.sink('out', { value: json() }), 'sums')
})
const PARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}`
const pay = (user: string, cents: number, parent: string | null = null): Line => ({
  line: JSON.stringify({ user, cents }),
  timestamp: 1_000,
  headers: parent === null ? [] : [['traceparent', Buffer.from(parent)]],
})

/** Spans as they end; ids count. */
function told(sampleRate: number) {
  const spans: RecordSpan[] = []
  let serial = 0
  const port: RecordTracePort = {
    sampleRate,
    traceId: (of) => hash('md5', of, 'hex'),
    spanId: () => (++serial).toString(16).padStart(16, '0'),
    ended: (span) => spans.push(span),
  }
  const path = (span: RecordSpan): string => {
    const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
    return parent === undefined ? span.name : `${path(parent)} ${span.name}`
  }
  return { spans, port, path }
}

afterEach(async () => {
  await stopAll()
  await closeAll()
})

/** All of the input, in one epoch, committed. */
async function run(input: readonly (readonly Line[])[], port: RecordTracePort | undefined, of = payments) {
  const world = await World.open(['out'], input)
  const fleet = new Fleet(world, 1, planJob(of), port)
  await fleet.start(null)
  await fleet.both('input-ended')
  await fleet.commit(1, await fleet.checkpoint(1))
  const out = await world.read('out')
  return out.map(({ headers = [] }) => headers.map(([name, value]) => `${name}=${Buffer.from(value!).toString()}`))
}

test('a sampled record is one trace from where it was read to the commit of what it led to', async () => {
  const { spans, port, path } = told(1)
  const out = await run([[pay('ann', 5)], [pay('bob', 7), pay('cy', 0)]], port)
  const whole = 'record.read record.chain record.chain record.write record.commit'
  const commits = spans.filter(({ name }) => name === 'record.commit')
  expect(commits.map(path)).toEqual([whole, whole])
  expect(commits.map(({ facts }) => facts)).toEqual([
    expect.objectContaining({ job: 'payments', sink: 'sums', epoch: 1 }),
    expect.objectContaining({ job: 'payments', sink: 'sums', epoch: 1 }),
  ])
  // What a filter drops has gone no further.
  const traces = Object.values(Object.groupBy(spans, ({ traceId }) => traceId)).map((of) => of!.map(({ name }) => name))
  expect(traces).toHaveLength(3)
  expect(traces).toContainEqual(['record.read', 'record.chain'])
  const reads = spans.filter(({ name }) => name === 'record.read')
  expect(reads.map(({ facts }) => `${facts['topic']}-${facts['partition']}@${facts['offset']}`).sort()).toEqual([
    'in-0@0',
    'in-1@0',
    'in-1@1',
  ])
  for (const { facts } of reads) expect(facts['lagMs']).toBeGreaterThan(0)
  // Whoever reads an output goes on with its trace, behind the write.
  const writes = spans.filter(({ name }) => name === 'record.write')
  expect(out.flat().sort()).toEqual(writes.map((of) => `traceparent=00-${of.traceId}-${of.spanId}-01`).sort())
  for (const { fromMs, toMs, failure } of spans) expect([toMs >= fromMs, failure]).toEqual([true, undefined])
})

test('at rate 0 only what its producer has sampled is traced, as a part of that trace', async () => {
  const { spans, port } = told(0)
  const out = await run([[pay('ann', 5, `${PARENT}-01`), pay('ann', 5, `${PARENT}-00`)], [pay('bob', 7)]], port)
  const [read] = spans.filter(({ name }) => name === 'record.read')
  expect(read).toMatchObject({ traceId: 'a'.repeat(32), parentSpanId: 'b'.repeat(16) })
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set(['a'.repeat(32)]))
  expect(spans.map(({ name }) => name).sort()).toEqual([
    'record.chain',
    'record.chain',
    'record.commit',
    'record.read',
    'record.write',
  ])
  expect(out.map((headers) => headers.length).sort()).toEqual([0, 0, 1])
})

test('what a producer has decided not to sample is not drawn either', async () => {
  const { spans, port } = told(1)
  await run([[pay('ann', 5, `${PARENT}-00`)], []], port)
  expect(spans).toEqual([])
})

test('nobody asks: no output has a header, no function sees where a record was read', async () => {
  const out = await run([[pay('ann', 5, `${PARENT}-01`)], [pay('bob', 7)]], undefined)
  expect(out).toEqual([[], []])
})

test('a function that did not ask is not told where a sampled record was read, and its errors say nothing of it', async () => {
  const { port } = told(1)
  const seen: unknown[] = []
  const looking = job('payments', { parallelism: 2 }, (flow) => {
    flow
      .from(logs.topic('in', { value: json<Payment>(), until: 'latest' }), 'in')
      .keyBy(({ user }) => user, 'by-user')
      .process('look', {
        onRecord: ({ origin }, { user }, out) => {
          seen.push(origin)
          out.emit(user)
        },
      })
      .to(logs.sink('out', { value: json() }), 'out')
  })
  await run([[pay('ann', 5)], [pay('bob', 7)]], port, looking)
  expect(seen).toEqual([null, null])
})

test('an attempt that ends before the commit says so of what it has written', async () => {
  const { spans, port } = told(1)
  const world = await World.open(['out'], [[pay('ann', 5)], []])
  const fleet = new Fleet(world, 1, planJob(payments), port)
  await fleet.start(null)
  await fleet.both('input-ended')
  await fleet.checkpoint(1)
  await fleet.kill()
  const [commit] = spans.filter(({ name }) => name === 'record.commit')
  expect(commit).toMatchObject({ failure: expect.stringContaining('has ended') as string })
})

const letters = [
  records(['a', 5], ['a', 12], ['a', 3], ['b', 11], ['a', 31], ['a', 19], ['b', 42]),
  records(['a', 1_000], ['a', 990], ['a', 1_010], ['a', 1_001]),
]
const chains = (settings: Partial<JobSettings>) =>
  chainOf([node.source(2), node.keyedBySource(), node.concat('log'), node.sink('out')], settings)

test('chains per split put out the same, traced or not, and a commit names the trace of its checkpoint', async () => {
  const outputs = async (port: RecordTracePort | undefined): Promise<unknown> => {
    const world = new SliceWorld()
    world.traces = port
    const one = world.start(chains({}), new MemoryLogSource(letters, 3))
    await one.run()
    await one.until('input-ended')
    await one.checkpoint(1)
    await one.commit(1)
    return world.topic('out').committed
  }
  const { spans, port } = told(0.5)
  expect(await outputs(port)).toEqual(await outputs(undefined))
  const commits = spans.filter(({ name }) => name === 'record.commit')
  expect(commits.length).toBeGreaterThan(2)
  for (const { link } of commits) expect(link).toBe('of-epoch-1')
  expect(spans.filter(({ name }) => name === 'record.read')).toHaveLength(commits.length)
})

test('in the continuous scope a commit is that of a transaction', async () => {
  const world = new SliceWorld()
  const { spans, port, path } = told(1)
  world.traces = port
  const one = world.start(chains({ commit: { scope: 'continuous', intervalMs: 20 } }), new MemoryLogSource(letters, 3))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  const commits = spans.filter(({ name }) => name === 'record.commit')
  expect(commits).toHaveLength(11)
  for (const commit of commits) {
    expect(path(commit)).toBe('record.read record.chain record.write record.commit')
    expect(commit.facts['transaction']).toBeGreaterThanOrEqual(0)
  }
})

test('a claim outside of state is a part of the way that says what became of it, also of what goes no further', async () => {
  const once: GraphNode = {
    ...{ kind: 'idempotent', uid: operatorUid('once'), claims: { store: 'memory' } },
    ...{
      windowMs: 1_000,
      ttlMs: 1_000,
      rewindMs: 0,
      onConflict: 'sideOutput',
      onUnavailable: { policy: 'fail' },
      sides: [],
    },
    claimOf: (value) => ({ key: { bizKey: String(value), eventType: '' }, fingerprint: '' }),
  }
  const world = new SliceWorld()
  const { spans, port, path } = told(1)
  world.traces = port
  const one = world.start(
    chainOf([node.source(2), once, node.sink('out')]),
    new MemoryLogSource([records(['a', 1], ['a', 2])], 9),
  )
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  await one.commit(1)
  const claims = spans.filter(({ name }) => name === 'record.claim')
  expect(claims.map(({ facts }) => [facts['operator'], facts['outcome']])).toEqual([
    ['once', 'first'],
    ['once', 'duplicate'],
  ])
  expect(spans.filter(({ name }) => name === 'record.commit').map(path)).toEqual([
    'record.read record.chain record.claim record.write record.commit',
  ])
})
