import { operatorUid } from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { GraphNode, JobSettings } from './graph.ts'
import { connectOf, withBroadcastOf } from './operators/index.ts'
import { thrown } from './operators/fixture.ts'
import type { Plan } from './plan.ts'
import { planJob } from './planner.ts'
import { defaultSettings } from './settings.ts'

const of = {
  source: (uid: string): GraphNode => ({
    kind: 'source',
    uid: operatorUid(uid),
    descriptor: { connector: 'kafka', topic: uid },
    ...{ decode: () => null, timestamp: null, outOfOrderMs: 0, recordsPerSecond: null },
  }),
  map: (uid: string): GraphNode => ({ kind: 'map', uid: operatorUid(uid), map: (v) => v }),
  broadcast: (uid: string): GraphNode => ({ kind: 'broadcast', uid: operatorUid(uid) }),
  beside: (uid: string): GraphNode => ({
    uid: operatorUid(uid),
    ...withBroadcastOf({ broadcast: {}, onRecord: () => {}, onBroadcast: () => {} }),
  }),
  connect: (uid: string): GraphNode => ({
    uid: operatorUid(uid),
    ...connectOf({ onLeft: () => {}, onRight: () => {} }),
  }),
  union: (uid: string): GraphNode => ({ kind: 'union', uid: operatorUid(uid) }),
  keyBy: (uid: string): GraphNode => ({ kind: 'keyBy', uid: operatorUid(uid), key: () => 'k' }),
  keyedBySource: (uid: string): GraphNode => ({ kind: 'keyedBySource', uid: operatorUid(uid), key: () => 'k' }),
  reduce: (uid: string): GraphNode => ({ kind: 'reduce', uid: operatorUid(uid), initial: 0, reduce: (a) => a }),
  sink: (uid: string): GraphNode => ({
    kind: 'sink',
    uid: operatorUid(uid),
    descriptor: { connector: 'kafka', topic: uid },
    ...{ encodeKey: () => null, encodeValue: () => null },
  }),
}

/** One word per node: its kind, its uid and the uids of its inputs, `union:all<a,b`. */
function planOf(words: string, settings: Partial<JobSettings> = {}): Plan {
  const parts = words.split(' ').map((word) => /^(\w+):(\w+)(?:<(.*))?$/.exec(word)!)
  const index = (uid: string): number => parts.findIndex(([, , name]) => name === uid)
  return planJob({
    ...{ kind: 'weir.job', version: 1, name: 'j', settings: { ...defaultSettings, ...settings } },
    graph: {
      nodes: parts.map(([, kind, uid]) => of[kind as keyof typeof of](uid!)),
      edges: parts.flatMap(([, , , from], to) => (from?.split(',') ?? []).map((uid) => [index(uid), to] as const)),
    },
  })
}
/** `head: nodes ← inputs → outputs` of each stage. */
function shown({ stages, summary: { nodes } }: Plan): string[] {
  const uid = (i: number): string => nodes[i]!.uid
  return stages.map(({ head, nodes: inside, inputs, outputs }) =>
    [
      `${uid(head)}: ${inside.map(uid).join(' ')}`,
      ...inputs.map(({ stage, route, operand }) => `← ${stage} ${route}${operand === 0 ? '' : ` ${operand}`}`),
      ...outputs.map(({ node, stage, input }) => `→ ${uid(node)} ${stage}.${input}`),
    ].join(' '),
  )
}

describe('a union', () => {
  test('of streams of one source is a step of its chain', () => {
    const plan = planOf('source:a map:m<a union:u<a,m,a map:n<u sink:out<n')
    expect(shown(plan)).toEqual(['a: a m u n out'])
    expect(plan.summary).not.toHaveProperty('forwarded')
  })

  test('of two sources in front of a keyBy is in both stages, which send to one', () => {
    const plan = planOf('source:a source:b union:u<a,b keyBy:k<u reduce:r<k sink:out<r')
    expect(shown(plan)).toEqual(['a: a u → k 2.0', 'b: b u → k 2.1', 'k: r out ← 0 keyed ← 1 keyed'])
    expect(plan.summary.nodes.map(({ stage }) => stage)).toEqual([0, 1, 2, 2, 2, 2])
    expect(plan.summary).not.toHaveProperty('forwarded')
  })

  test('so is what stands between it and the keyBy, if it has no state of its own', () => {
    const plan = planOf(
      'source:a source:b union:u<a,b map:m<u map:n<m keyBy:k<n keyBy:l<m reduce:r<k sink:out<r sink:more<l',
    )
    expect(shown(plan)).toEqual([
      'a: a u m n → k 2.0 → l 3.0',
      'b: b u m n → k 2.1 → l 3.1',
      'k: r out ← 0 keyed ← 1 keyed',
      'l: more ← 0 keyed ← 1 keyed',
    ])
    expect(plan.summary.nodes.map(({ stage }) => stage)).toEqual([0, 1, 2, 2, 2, 2, 3, 2, 2, 3])
  })

  test('of two sources with a sink behind it heads a stage that the same slice feeds', () => {
    const plan = planOf('source:a source:b union:u<a,b map:m<u sink:out<m keyBy:k<u reduce:r<k sink:sums<r')
    expect(shown(plan)).toEqual([
      'a: a → u 2.0',
      'b: b → u 2.1',
      'u: m out ← 0 forward ← 1 forward → k 3.0',
      'k: r sums ← 2 keyed',
    ])
    expect(plan.summary.forwarded).toBe(1)
  })

  test('of a union sends from every stage straight to the last one', () => {
    const chain = 'source:a source:b source:c union:u<a,b union:v<u,c'
    expect(shown(planOf(`${chain} keyBy:k<v reduce:r<k sink:out<r`))).toEqual([
      'a: a u v → k 3.0',
      'b: b u v → k 3.1',
      'c: c v → k 3.2',
      'k: r out ← 0 keyed ← 1 keyed ← 2 keyed',
    ])
    expect(shown(planOf(`${chain} sink:out<v`))).toEqual([
      'a: a u → v 3.0',
      'b: b u → v 3.1',
      'c: c → v 3.2',
      'v: out ← 0 forward ← 1 forward ← 2 forward',
    ])
  })

  test('receipts name all its sources; a record that fails behind it can be replayed whole, unless it had two ways', () => {
    const words = 'source:a source:b map:m<a union:u<m,b map:n<u sink:out<n sink:more<b'
    const connector = 'kafka'
    const settings = { audit: { connector, topic: 'receipts' }, deadLetters: { connector, topic: 'dead' } }
    const { audit, deadLetters } = planOf(words, settings)
    expect([...audit!.sources]).toEqual([
      [5, [0, 1]],
      [6, [1]],
    ])
    // Straight into a sink of the stage, or by the union to the one behind it.
    expect(deadLetters!.routes).toEqual([{ output: 0 }, { sink: 6 }, { sink: 5 }])
    expect(deadLetters!.whole).toEqual([true, true, true, false, false, false, false])
    expect(planOf(words.replace(' sink:more<b', ''), settings).deadLetters!.whole).toEqual(Array(6).fill(true))
  })

  test.each([
    ['has two inputs at least', 'GRAPH_INPUTS', 'source:a union:u<a sink:out<u'],
    ['is not keyed', 'GRAPH_UNKEYED_STATE', 'source:a keyBy:k<a union:u<k,k reduce:r<u sink:out<r'],
    [
      'of several sources has no partitions',
      'GRAPH_KEYED_BY_SOURCE',
      'source:a source:b union:u<a,b keyedBySource:k<u sink:out<k',
    ],
  ])('%s', (_, code, words) => {
    expect(thrown(() => planOf(words))).toMatchObject({ code, kind: 'invalid' })
  })

  test('is refused in the continuous scope: what comes out of it depends on how records were batched', () => {
    const commit = { scope: 'continuous', intervalMs: 100 } as const
    const words = 'source:a map:m<a union:u<a,m keyedBySource:k<u reduce:r<k sink:out<r'
    expect(shown(planOf(words))).toEqual(['a: a m u k r out'])
    expect(thrown(() => planOf(words, { commit }))).toMatchObject({
      ...{ code: 'CONTINUOUS_SCOPE_REFUSED', kind: 'invalid' },
      facts: { uid: 'u', reason: 'not-deterministic' },
    })
  })

  test('of several sources with a stage of its own is refused where barriers overtake; into a sink is into a sink', () => {
    const checkpoint = { ...defaultSettings.checkpoint, unaligned: true }
    const reason = (words: string): unknown => thrown(() => planOf(words, { checkpoint })).facts['reason']
    const merged = 'source:a source:b union:u<a,b map:m<u keyBy:k<m reduce:r<k sink:out<r'
    expect(planOf(merged, { checkpoint }).unaligned!.stages).toEqual([false, false, true])
    expect(reason(`${merged} sink:more<m`)).toBe('union')
    expect(reason('source:a keyBy:k<a union:u<k,k sink:out<u')).toBe('edge-into-sink')
    const told = 'source:a source:b keyBy:k<a broadcast:w<b beside:p<k,w sink:out<p'
    expect(reason(told)).toBe('broadcast')
    const both = 'source:a source:b keyBy:k<a keyBy:l<b connect:c<k,l sink:out<c'
    expect(planOf(both, { checkpoint }).unaligned!.stages).toEqual([false, false, true])
  })
})

describe('an operator with two inputs', () => {
  test('gets both straight from the stages that compute their keys, also where a keyBy heads a stage besides', () => {
    const plan = planOf('source:a source:b keyBy:k<a keyBy:l<b connect:c<k,l sink:out<c reduce:r<k sink:sums<r')
    expect(shown(plan)).toEqual([
      'a: a → k 2.0 → k 3.0',
      'b: b → l 3.1',
      'k: r sums ← 0 keyed',
      'c: c out ← 0 keyed ← 1 keyed 1',
    ])
    expect(plan.summary.nodes.map(({ stage }) => stage)).toEqual([0, 1, 2, 3, 3, 3, 2, 2])
  })

  test('may get the same stream twice, and a union of several sources on either side', () => {
    const words = 'source:a source:b union:u<a,b keyBy:k<u keyBy:l<a connect:c<k,l sink:out<c'
    expect(shown(planOf(words))).toEqual([
      'a: a u → k 2.0 → l 2.2',
      'b: b u → k 2.1',
      'c: c out ← 0 keyed ← 1 keyed ← 0 keyed 1',
    ])
    expect(shown(planOf('source:a keyBy:k<a connect:c<k,k sink:out<c'))).toEqual([
      'a: a → k 1.0 → k 1.1',
      'c: c out ← 0 keyed ← 0 keyed 1',
    ])
  })

  test('beside a broadcast gets its stream from the same slice or by key, and the broadcast from all', () => {
    const words = 'source:a source:b broadcast:w<b beside:p<a,w sink:out<p keyBy:k<a beside:q<k,w sink:more<q'
    const plan = planOf(words)
    expect(shown(plan)).toEqual([
      'a: a → p 2.0 → k 3.0',
      'b: b → w 2.1 → w 3.1',
      'p: p out ← 0 forward ← 1 broadcast 1',
      'q: q more ← 0 keyed ← 1 broadcast 1',
    ])
    expect(plan.summary).not.toHaveProperty('forwarded')
  })

  test.each([
    ['GRAPH_INPUTS', 'source:a keyBy:k<a connect:c<k sink:out<c'],
    ['GRAPH_UNKEYED_STATE', 'source:a keyBy:k<a connect:c<k,a sink:out<c'],
    ['GRAPH_KEYED_BY_SOURCE', 'source:a keyBy:k<a keyedBySource:l<a connect:c<k,l sink:out<c'],
    ['GRAPH_INPUTS', 'source:a broadcast:w<a sink:out<w'],
    ['GRAPH_INPUTS', 'source:a keyBy:k<a beside:p<a,k sink:out<p'],
    ['GRAPH_INPUTS', 'source:a broadcast:w<a beside:p<w,a sink:out<p'],
    ['GRAPH_KEYED_BY_SOURCE', 'source:a source:b keyedBySource:l<a broadcast:w<b beside:p<l,w sink:out<p'],
  ])('is refused as %s: %s', (code, words) => {
    expect(thrown(() => planOf(words))).toMatchObject({ code, kind: 'invalid' })
  })
})
