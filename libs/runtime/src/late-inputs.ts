/** What an epoch that is given up still waits for in one slice. */
import type { LateInput } from '@weir/checkpoint'
import type { OpenCheckpoint } from './open-checkpoint.ts'
import type { SliceScope } from './slice-scope.ts'

/** To be asked when the gates have given it up, too. */
export function lateInputsOf(
  scope: Pick<SliceScope, 'stages' | 'headOf'>,
  { checkpoint, cut }: Pick<OpenCheckpoint, 'checkpoint' | 'cut'>,
): readonly LateInput[] {
  const waiting = scope.stages.filter((run) => !cut.has(run.stage.index))
  if (waiting.length === 0) return [{ cause: 'snapshot' }]
  return waiting.flatMap((run): LateInput[] => {
    const stage = scope.headOf(run.stage.index)
    if (run.gate === null) return [{ cause: 'cut', stage }]
    return run.gate.late(checkpoint).map((channel) => {
      const { uid, subtask } = run.senders[channel]!
      return { cause: 'barrier', stage, from: uid, fromSubtask: subtask }
    })
  })
}
