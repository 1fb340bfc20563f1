import { defaultSettings, planJob, type GraphNode, type Plan } from '@weir/dataflow'
import { operatorUid, subtask } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { regionsHit, regionsOf } from './regions.ts'

/** Sources with a chain each: `f` a filter, `k` a keyBy, a sink behind them; `joined`: all lead into one more sink. */
function planOf(chains: readonly (readonly ('f' | 'k')[])[], parallelism: number, joined = false): Plan {
  const nodes: GraphNode[] = []
  const edges: [number, number][] = []
  const encode = { encodeKey: () => null, encodeValue: () => null }
  const add = (node: GraphNode, follows: boolean): void => {
    if (follows) edges.push([nodes.length - 1, nodes.length])
    nodes.push(node)
  }
  chains.forEach((chain, c) => {
    const uid = (part: string) => operatorUid(`c${c}-${part}`)
    const descriptor = { connector: 'log', topic: `t${c}` }
    const source = { decode: () => null, timestamp: null, outOfOrderMs: 0, recordsPerSecond: null }
    add({ kind: 'source', uid: uid('in'), descriptor, ...source }, false)
    chain.forEach((kind, i) =>
      kind === 'f'
        ? add({ kind: 'filter', uid: uid(`f${i}`), test: () => true }, true)
        : add({ kind: 'keyBy', uid: uid(`k${i}`), key: () => 'k' }, true),
    )
    add({ kind: 'sink', uid: uid('out'), descriptor, ...encode }, true)
  })
  if (joined && chains.length > 1) {
    const ends = nodes.flatMap(({ kind }, i) => (kind === 'sink' ? [i - 1] : []))
    add({ kind: 'union', uid: operatorUid('all') }, false)
    for (const end of ends) edges.push([end, nodes.length - 1])
    add({ kind: 'sink', uid: operatorUid('out'), descriptor: { connector: 'log', topic: 't' }, ...encode }, true)
  }
  const settings = { ...defaultSettings, parallelism }
  return planJob({ kind: 'weir.job', version: 1, name: 'j', settings, graph: { nodes, edges } })
}

/** By painting: slices that a channel joins get one colour, again and again until nothing changes. */
function painted({ stages, job }: Plan): number[][] {
  const { parallelism } = job.settings
  const all = Array.from({ length: parallelism }, (_, i) => i)
  const channels = stages.flatMap(({ inputs }) =>
    inputs.flatMap(({ route }) =>
      all.flatMap((from) => (route === 'forward' ? [from] : all).map((to) => [from, to] as const)),
    ),
  )
  const colours = [...all]
  for (let changed = true; changed;) {
    changed = false
    for (const [a, b] of channels) {
      const colour = Math.min(colours[a]!, colours[b]!)
      changed ||= colours[a] !== colour || colours[b] !== colour
      colours[a] = colours[b] = colour
    }
  }
  return [...new Set(colours)].map((colour) => all.filter((i) => colours[i] === colour))
}

test('slices that no exchange joins are regions of their own; one keyBy anywhere makes one region', () => {
  expect(regionsOf(planOf([['f']], 3).summary)).toEqual([[0], [1], [2]])
  expect(regionsOf(planOf([['f'], []], 3).summary)).toEqual([[0], [1], [2]])
  expect(regionsOf(planOf([['f'], []], 3, true).summary)).toEqual([[0], [1], [2]])
  expect(regionsOf(planOf([['f'], ['f', 'k', 'f']], 3).summary)).toEqual([[0, 1, 2]])
})

test('regions are what the channels of the plan join', () => {
  const chains = fc.array(fc.array(fc.constantFrom('f' as const, 'k' as const), { maxLength: 3 }), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(
      chains,
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.nat(4)),
      fc.boolean(),
      (of, parallelism, some, joined) => {
        const plan = planOf(of, parallelism, joined)
        expect(regionsOf(plan.summary)).toEqual(painted(plan))
        const hit = some.filter((i) => i < parallelism)
        const expected = painted(plan).filter((region) => region.some((i) => hit.includes(i)))
        expect(regionsHit(plan.summary, hit.map(subtask))).toEqual(expected.flat())
      },
    ),
  )
})
