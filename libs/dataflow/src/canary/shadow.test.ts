import { operatorUid } from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { ConnectorDescriptor, GraphNode, JobDefinition, JobSettings } from '../graph.ts'
import { planJob } from '../planner.ts'
import { defaultSettings } from '../settings.ts'
import { inShare } from './share.ts'
import { asideTopics, comparedTopics, onCanary, type CanarySettings } from './shadow.ts'

const canary: CanarySettings = {
  ...{ of: 'pay', build: 'd'.repeat(64), savepoint: 'canary-1', topics: {}, made: [], before: [] },
  ...{ suffix: '.canary', calls: [], share: 1, compares: 'by-value', ignored: [], outputsMin: 10 },
}

const node = (kind: string, uid: string, more: object = {}): GraphNode =>
  ({ kind, uid: operatorUid(uid), ...more }) as unknown as GraphNode
const source = (connector = 'kafka', uid = 'in'): GraphNode =>
  node('source', uid, {
    ...{ descriptor: { connector, topic: 'orders', startFrom: 'earliest', until: 'none' }, outOfOrderMs: 0 },
    ...{ recordsPerSecond: null, decode: () => null, timestamp: null },
  })
const sink = (descriptor: Partial<ConnectorDescriptor> = {}, more: object = {}): GraphNode =>
  node('sink', 'sums', {
    ...{ descriptor: { connector: 'kafka', topic: 'sums', ...descriptor }, encodeKey: String, encodeValue: String },
    ...more,
  })
const keyBy = (uid = 'by-user'): GraphNode => node('keyBy', uid, { key: (user: string) => user })
const reduce = node('reduce', 'balance', { initial: 0, reduce: () => 0 })

/** One behind the other. */
const chain = (nodes: readonly GraphNode[], settings: Partial<JobSettings> = {}): JobDefinition => ({
  ...{ kind: 'weir.job', version: 1, name: 'pay', settings: { ...defaultSettings, ...settings } },
  graph: { nodes, edges: nodes.slice(1).map((_, i) => [i, i + 1] as const) },
})
const sums = chain([source(), keyBy(), reduce, sink({ onLost: 'fail' })], {
  deadLetters: { connector: 'kafka', topic: 'dead' },
  audit: { connector: 'kafka', topic: 'receipts' },
})

test('outputs and dead letters go to topics of its own, receipts nowhere; what is read stays what it was', () => {
  expect([comparedTopics(sums), asideTopics(sums)]).toEqual([['sums'], ['dead']])
  const on = onCanary(sums, canary)
  expect(on.settings).toMatchObject({ deadLetters: { topic: 'dead.canary' }, audit: null, canary })
  expect(on.graph.nodes.map((one) => ('descriptor' in one ? one.descriptor : null))).toEqual([
    { connector: 'kafka', topic: 'orders', startFrom: 'earliest', until: 'none' },
    ...[null, null],
    { connector: 'kafka', topic: 'sums.canary', onLost: 'fail' },
  ])
  expect(on.graph.edges).toEqual(sums.graph.edges)
  expect(planJob(on).summary.settings.canary).toEqual(canary)
})

test('at a share there is a filter in front of each keyBy, which lets its keys pass', () => {
  const [first, second] = [keyBy('by-user'), keyBy('by-name')]
  const join = node('connect', 'both', { of: { type: 'process' }, state: {}, timers: {}, onTimer: null })
  const of: JobDefinition = {
    ...chain([source('kafka', 'left'), source('kafka', 'right'), first, second, join, sink()]),
    graph: {
      nodes: [source('kafka', 'left'), source('kafka', 'right'), first, second, join, sink()],
      edges: [
        ...([0, 1].map((i) => [i, i + 2]) as [number, number][]),
        ...([2, 3].map((i) => [i, 4]) as [number, number][]),
        [4, 5],
      ],
    },
  }
  const { graph } = onCanary(of, { ...canary, share: 0.25 })
  expect(graph.nodes.map(({ uid }) => uid)).toEqual([
    ...['left', 'right', 'canary.share-2', 'by-user', 'canary.share-3', 'by-name', 'both', 'sums'],
  ])
  expect(graph.edges.map(([from, to]) => `${graph.nodes[from]!.uid} ${graph.nodes[to]!.uid}`).toSorted()).toEqual([
    ...['both sums', 'by-name both', 'by-user both', 'canary.share-2 by-user', 'canary.share-3 by-name'],
    ...['left canary.share-2', 'right canary.share-3'],
  ])
  const filter = graph.nodes[2]! as Extract<GraphNode, { kind: 'filter' }>
  for (const user of ['ada', 'bob', 'cleo', 'dan', 'eve', 'finn'])
    expect(filter.test(user, {} as never)).toBe(inShare(user, 0.25))
  expect(() => planJob({ ...of, graph })).not.toThrow()
})

describe('refused, with what to do', () => {
  const calls = node('asyncMap', 'enrich')
  test.each<[string, JobDefinition, string, RegExp]>([
    ['a table that is written', chain([source(), sink({ connector: 'postgres' })]), 'sums', /put a topic there/],
    ['a replication slot that is read', chain([source('postgres'), sink()]), 'in', /offsets of Kafka/],
    ['the continuous scope', chain([], { commit: { scope: 'continuous', intervalMs: 100 } }), 'settings', /weir prove/],
    [
      'claims that others share',
      chain([source(), node('idempotent', 'once', { claims: { store: 'redis' } }), sink()]),
      ...(['once', /keep them in state/] as const),
    ],
    ['calls', chain([source(), calls, sink()]), 'enrich', /--allow-call enrich/],
    [
      'schemas that are registered by topic',
      chain([source(), sink({}, { openEncoder: () => null })]),
      ...(['sums', /registers schemas/] as const),
    ],
  ])('%s', (_, of, uid, said) => {
    const run = (): JobDefinition => onCanary(of, canary)
    expect(run).toThrow(
      expect.objectContaining({ facts: { code: 'CANARY_UNSUPPORTED', kind: 'invalid', uid } }) as Error,
    )
    expect(run).toThrow(said)
  })

  test('calls are let through once they are said to be harmless', () => {
    expect(() => onCanary(chain([source(), calls, sink()]), { ...canary, calls: ['enrich'] })).not.toThrow()
  })

  test.each<[string, JobDefinition, string]>([
    ['keys made of all keys', chain([source(), keyBy(), reduce, keyBy('by-city'), sink()]), 'by-city'],
    ['a sink with keys of its own', chain([source(), keyBy(), reduce, sink({}, { keyOf: () => 'all' })]), 'sums'],
    ['keys that are not text', chain([source(), keyBy(), reduce, sink({}, { encodeKey: () => 'user:' })]), 'sums'],
    ['an operator that may mix keys', chain([source(), keyBy(), node('resumable', 'own'), sink()]), 'sums'],
  ])('a share, of %s: all of them can be taken', (_, of, uid) => {
    expect(() => onCanary(of, { ...canary, share: 0.5 })).toThrow(
      expect.objectContaining({ facts: { code: 'CANARY_SHARE_UNSUPPORTED', kind: 'invalid', uid } }) as Error,
    )
    expect(() => onCanary(of, canary)).not.toThrow()
  })
})
