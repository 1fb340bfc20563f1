import type { HandleProof, PreparedHandle, SinkNode } from '@weir/dataflow'
import { attempt, epoch, generation, operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { RetiredSinks } from './retired-sinks.ts'
import { MemorySink, MemoryTopic } from './testing/index.ts'

const node = { kind: 'sink', uid: operatorUid('out') } as SinkNode
const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: epoch(1) }

test('B4: the prepared output of a subtask that is no more is committed, its zombie is fenced, its sequence is kept', async () => {
  const topic = new MemoryTopic()
  const zombie = new MemorySink(topic)
  await zombie.recover(null)
  const batch = { keys: ['k'], values: [1], timestamps: [0] }
  zombie.write(batch)
  const state = await zombie.prepare(checkpoint)
  zombie.write(batch)

  const retired = new RetiredSinks()
  const states = { 3: { out: { ...state, receipt: 'hash' } } }
  const proofs = await retired.recover(states, { nodes: [node], createSink: () => new MemorySink(topic) })
  const proof: HandleProof = { sequence: 1, outcome: 'committed', by: 'end-txn' }
  expect(proofs).toEqual([{ sink: 'out', subtask: 3, proof }])
  expect(topic.committed).toHaveLength(1)
  await expect(zombie.prepare(checkpoint)).rejects.toMatchObject({ kind: 'fenced' })
  const handles: readonly PreparedHandle[] = []
  expect(retired.snapshot()).toEqual({ 3: { out: { sequence: 1, handles, receipt: 'hash' } } })
  await retired.committed()
  await retired.close('leave')
})

test('nobody retired: nothing in the snapshot', async () => {
  const retired = new RetiredSinks()
  expect(await retired.recover({}, { nodes: [node], createSink: () => expect.unreachable() })).toEqual([])
  expect(retired.snapshot()).toBeUndefined()
})
