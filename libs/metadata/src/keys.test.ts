import { attempt, epoch, generation, jobId, operatorUid } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { importedKey, inFlightKey, manifestKey, segmentKey, stagedAttempt, stagedKey, stagedPrefix } from './keys.ts'

const job = jobId('j')
const numbers = fc.integer({ min: 1, max: 12 })
const checkpoints = fc
  .record({ generation: numbers, epoch: numbers, attempt: numbers })
  .map((c) => ({ generation: generation(c.generation), epoch: epoch(c.epoch), attempt: attempt(c.attempt) }))
const subtasks = fc.integer({ min: 0, max: 12 })

test('A20: no two of generation, epoch, attempt, subtask and stage have an object in common', () => {
  const part = fc.tuple(checkpoints, subtasks, subtasks)
  const keysOf = ([checkpoint, of, stage]: Parameters<Parameters<typeof part.map>[0]>[0]): string[] => [
    segmentKey(job, checkpoint, of, stage),
    segmentKey(job, checkpoint, of, stage, 'folded'),
    inFlightKey(job, checkpoint, of, { stage, side: 'received' } as never),
    inFlightKey(job, checkpoint, of, { stage, side: 'unsent' } as never),
  ]
  fc.assert(
    fc.property(part, part, (a, b) => {
      const [one, other] = [keysOf(a), keysOf(b)]
      expect(new Set(one).size).toBe(one.length)
      const same = JSON.stringify(a) === JSON.stringify(b)
      expect(one.some((key) => other.includes(key))).toBe(same)
    }),
  )
  fc.assert(
    fc.property(checkpoints, checkpoints, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b)
      expect(manifestKey(job, a) === manifestKey(job, b)).toBe(same)
      expect(importedKey(job, a, '1') === importedKey(job, b, '1')).toBe(same)
    }),
  )
})

test('A22: staged output says of which attempt it is', () => {
  const prefix = stagedPrefix(job, operatorUid('out'), 1)
  fc.assert(
    fc.property(checkpoints, numbers, numbers, (of, transaction, part) => {
      const { generation, attempt } = of
      expect(stagedAttempt(prefix, stagedKey(prefix, of, transaction, part))).toEqual({ generation, attempt })
    }),
  )
})
