import { attempt, epoch, generation, jobId, operatorUid, type CheckpointId } from '@weir/model'
import { expect, test } from 'vitest'
import { importedKey, inFlightKey, manifestKey, segmentKey, stagedAttempt, stagedKey, stagedPrefix } from './keys.ts'

const job = jobId('j')
const NUMBERS = [1, 2, 11, 12, 111]
const checkpoints: readonly CheckpointId[] = NUMBERS.flatMap((g) =>
  NUMBERS.flatMap((e) =>
    NUMBERS.map((a) => ({ generation: generation(g), epoch: epoch(e), attempt: attempt(a) }) satisfies CheckpointId),
  ),
)

test('A20: no two generations, epochs, attempts, subtasks or stages have an object in common', () => {
  const keys = checkpoints.flatMap((of) => [
    manifestKey(job, of),
    importedKey(job, of, '1'),
    ...NUMBERS.flatMap((subtask) =>
      NUMBERS.flatMap((stage) => [
        segmentKey(job, of, subtask, stage),
        segmentKey(job, of, subtask, stage, 'folded'),
        inFlightKey(job, of, subtask, { stage, side: 'received' }),
        inFlightKey(job, of, subtask, { stage, side: 'unsent' }),
      ]),
    ),
  ])
  expect(new Set(keys).size).toBe(keys.length)
})

test('A22: staged output lies apart by attempt, and says of which one it is', () => {
  const prefix = stagedPrefix(job, operatorUid('out'), 1)
  const keys = checkpoints.map((of) => stagedKey(prefix, of, of.epoch, 0))
  expect(new Set(keys).size).toBe(keys.length)
  for (const [i, { generation, attempt }] of checkpoints.entries())
    expect(stagedAttempt(prefix, keys[i]!)).toEqual({ generation, attempt })
})
