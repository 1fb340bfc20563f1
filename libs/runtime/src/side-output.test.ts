/** Side outputs in a slice: into a sink of their own, and through an exchange, at the event time of their operator. */
import { keyedProcessOf, sideOutput, type GraphNode, type JobDefinition, type Out } from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

const sort: GraphNode = {
  uid: operatorUid('sort'),
  ...keyedProcessOf({
    sides: { b: sideOutput<string>() },
    onRecord({ sides }, value: string, out: Out<string>) {
      if (value.startsWith('b')) sides.b.emit(value)
      else out.emit(value)
    },
  }),
}
const side: GraphNode = { kind: 'sideOutput', uid: operatorUid('sort.b'), side: 'b' }
/** in → by-first → sort → out; sort.b → others; sort.b → by-all → per-10 → counts. */
const jobOf = (keyed: GraphNode): JobDefinition => {
  const job = chainOf([node.source(0), { ...keyed, uid: operatorUid('keyed') }, sort, node.sink('out')])
  const all = node.keyBy(() => 'all')
  return {
    ...job,
    graph: {
      nodes: [...job.graph.nodes, side, node.sink('others'), all, node.count('per-10', 10), node.sink('counts')],
      edges: [...job.graph.edges, [2, 4], [4, 5], [4, 6], [6, 7], [7, 8]],
    },
  }
}
const input = [records(['a', 1], ['b', 2], ['b', 8], ['a', 11], ['b', 13], ['a', 40])]

test.each([
  ['keyBy', node.keyBy((v) => String(v)[0]!)],
  ['keyedBySource', node.keyedBySource()],
] as const)('they are written once, also behind a restart, and windows behind them close: %s', async (_how, keyed) => {
  const world = new World()
  const source = Object.assign(new MemoryLogSource(input, 10), { limit: 3 })
  const one = world.start(jobOf(keyed), source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 3)
  const snapshot = await one.checkpoint(1)
  await one.commit(1)
  await one.slice.stop('leave')

  const two = world.start(jobOf(keyed), new MemoryLogSource(input, 10), 2)
  await two.run(snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  await two.commit(2)
  const committed = (uid: string): unknown[] => world.topic(uid).committed.map((r) => r.value)
  expect(committed('out')).toEqual(['a', 'a', 'a'])
  expect(committed('others')).toEqual(['b', 'b', 'b'])
  expect(committed('counts')).toEqual([
    { start: 0, end: 10, value: 2 },
    { start: 10, end: 20, value: 1 },
  ])
})
