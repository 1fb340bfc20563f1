import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import type { ConnectorDescriptor, GraphNode, JobDefinition, JobSettings } from './graph.ts'
import { inputsOf, onScratch, outputsOf, type Scratch } from './scratch.ts'
import { defaultSettings, validateSettings } from './settings.ts'

const scratch: Scratch = {
  ...{
    reads: 'in.',
    writes: 'run-1.',
    files: 'file:///tmp/run-1/',
    inputs: { orders: 600 },
    generated: 100,
    lastsMs: 3_000,
    checkpointIntervalMs: 300,
  },
}
const source = (descriptor: ConnectorDescriptor): GraphNode =>
  ({ kind: 'source', uid: operatorUid('in'), descriptor, recordsPerSecond: 5 }) as unknown as GraphNode
const sink = (descriptor: ConnectorDescriptor): GraphNode =>
  ({ kind: 'sink', uid: operatorUid('out'), descriptor }) as unknown as GraphNode
const job = (nodes: readonly GraphNode[], settings: Partial<JobSettings> = {}): JobDefinition => ({
  ...{ kind: 'weir.job', version: 1, name: 'j', settings: { ...defaultSettings, ...settings } },
  graph: { nodes, edges: [[0, 1]] },
})
const ofKafka = { connector: 'kafka', topic: 'orders', startFrom: 'latest', until: 'none', isolation: 'read_committed' }

test('topics of Kafka are those of a log of its own; input is bounded and paced, checkpoints are many', () => {
  const of = job([source(ofKafka), sink({ connector: 'kafka', topic: 'sums', onLost: 'fail' })], {
    deadLetters: { connector: 'kafka', topic: 'dead' },
  })
  expect(inputsOf(of)).toEqual(['orders'])
  const on = onScratch(of, scratch)
  expect(on.graph.nodes).toMatchObject([
    {
      recordsPerSecond: 200,
      descriptor: { connector: 'log', topic: 'in.orders', startFrom: 'earliest', until: 'latest' },
    },
    { descriptor: { connector: 'log', topic: 'run-1.sums', onLost: 'fail' } },
  ])
  expect(outputsOf(on)).toEqual({ topics: ['run-1.sums', 'run-1.dead'], folders: new Map() })
  expect(on.settings.checkpoint).toMatchObject({ intervalMs: 300, everyRecords: null, minPauseMs: 0 })
  expect(() => validateSettings(on.settings)).not.toThrow()
})

test('files are those of a folder of its own', () => {
  const of = job([source(ofKafka), sink({ connector: 'files', format: 'ndjson', folder: 's3://ours/orders/' })])
  const on = onScratch(of, scratch)
  expect(on.graph.nodes).toMatchObject([{}, { descriptor: { format: 'ndjson', folder: 'file:///tmp/run-1/out/' } }])
  expect(outputsOf(on)).toEqual({ topics: [], folders: new Map([['out', 'file:///tmp/run-1/out/']]) })
})

test('a generator ends', () => {
  const endless = source({ connector: 'datagen', splits: 4, recordsPerSplit: null })
  const short = source({ connector: 'datagen', splits: 2, recordsPerSplit: 30 })
  const [first, second] = onScratch(job([endless, short]), scratch).graph.nodes
  expect(first).toMatchObject({ recordsPerSecond: 400 / 3, descriptor: { recordsPerSplit: 100 } })
  expect(second).toMatchObject({ recordsPerSecond: 20, descriptor: { recordsPerSplit: 30 } })
})

test.each<[string, JobDefinition]>([
  ['a database that is read', job([source({ connector: 'postgres' })])],
  ['a database that is written', job([sink({ connector: 'postgres' })])],
  ['files that are no lines', job([sink({ connector: 'files', format: 'parquet', folder: 'file:///tmp/a/' })])],
  [
    'claims that others share',
    job([{ kind: 'idempotent', uid: 'once', claims: { store: 'redis' } } as unknown as GraphNode]),
  ],
  ['the continuous scope', job([], { commit: { scope: 'continuous', intervalMs: 100 } })],
])('%s: no trial may touch it, and it is named', (_, of) => {
  expect(() => onScratch(of, scratch)).toThrow(expect.objectContaining({ code: 'PROVE_UNSUPPORTED', kind: 'invalid' }))
})
