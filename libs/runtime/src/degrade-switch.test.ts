/** Where the degrade switch is turned: between the records that a barrier parts, in every stage, and again in a replay. */
import { PLAIN_CUT } from '@weir/checkpoint'
import type { GraphNode, RecordContext } from '@weir/dataflow'
import { attempt, epoch, generation, operatorUid, type CheckpointId } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

const RECORDS = 2_000
/** In front of the barrier, when it is asked for: some are read, some not. */
const LIMIT = 700
const rows = records(...Array.from({ length: RECORDS }, (_, i): [string, number] => [`${i}`, i]))
/** Each stage writes down how the switch stands. */
const marked = (uid: string): GraphNode => ({
  kind: 'map',
  uid: operatorUid(uid),
  map: (value: unknown, { degraded }: RecordContext) => `${String(value)} ${degraded ? 'on' : 'off'}`,
})
const job = chainOf(
  [node.source(0), marked('first'), node.keyBy((v) => String(v).length), marked('second'), node.sink('out')],
  { degradable: true },
)
const cp = (e: number, n = 1): CheckpointId => ({ generation: generation(1), attempt: attempt(n), epoch: epoch(e) })
afterEach(stopAll)

/** `0 off off`, … by number. */
const written = (world: World): Map<number, string> =>
  new Map(
    world.topic('out').committed.map(({ value }) => {
      const [number, ...stands] = String(value).split(' ')
      return [Number(number), stands.join(' ')]
    }),
  )
const readIn = ({ sources }: { readonly sources: Readonly<Record<string, unknown>> }): number =>
  Number((sources['in'] as { partitions: { 0: { offset: string } } }).partitions[0].offset)

test('a barrier parts the records: in front of it off, behind it on, in both stages; a replay sees the same, whatever was wished since', async () => {
  const world = new World()
  const source = new MemoryLogSource([rows], 10)
  source.limit = LIMIT
  const first = world.start(job, source)
  await first.run()
  first.slice.trigger(cp(1), false, PLAIN_CUT, true)
  source.limit = RECORDS
  const { snapshot } = await first.until('ack', (r) => r.checkpoint.epoch === 1)
  await first.commit(1)
  expect(snapshot.degraded).toBe(true)
  await first.until('input-ended')
  await first.slice.stop('leave') // nothing behind the barrier is committed

  const again = world.start(job, new MemoryLogSource([rows], 100), 2)
  await again.run(snapshot)
  await again.until('input-ended')
  again.slice.trigger(cp(2, 2), true, PLAIN_CUT, false)
  const last = await again.until('ack', (r) => r.checkpoint.epoch === 2)
  await again.commit(2)
  expect(last.snapshot.degraded).toBeUndefined()

  const at = readIn(snapshot)
  const expected = Array.from({ length: RECORDS }, (_, i): [number, string] => [i, i < at ? 'off off' : 'on on'])
  expect([...written(world)].sort(([a], [b]) => a - b)).toEqual(expected)
})

test('an epoch that is given up leaves the switch to the next one', async () => {
  const world = new World()
  const source = new MemoryLogSource([rows], 10)
  source.limit = LIMIT
  const { slice, run, until, commit } = world.start(job, source)
  await run()
  slice.trigger(cp(1), false, PLAIN_CUT, true)
  slice.giveUp(cp(1))
  slice.trigger(cp(2), false, PLAIN_CUT, false)
  const { snapshot } = await until('ack', (r) => r.checkpoint.epoch === 2)
  source.limit = RECORDS
  await until('input-ended')
  slice.trigger(cp(3), true, PLAIN_CUT, false)
  await until('ack', (r) => r.checkpoint.epoch === 3)
  await commit(3)
  const behind = [...written(world)].filter(([i]) => i >= readIn(snapshot))
  expect(new Set(behind.map(([, stands]) => stands))).toEqual(new Set(['off off']))
})

test('in a job without one it is not there to be asked', async () => {
  const plain = { ...job, settings: { ...job.settings, degradable: false } }
  const { run, until } = new World().start(plain, new MemoryLogSource([rows], 10))
  const failed = run().then(() => until('input-ended'))
  await expect(failed).rejects.toMatchObject({ message: expect.stringContaining('degradable: true') as string })
})
