/**
 * Firings of a stage that are more than one part (`Firing`): one part after the other, each behind room for it. Whoever advances event
 * time ends them before it takes anything else: a snapshot never is in the middle of one.
 *
 * A barrier that is to overtake what has no room would wait for all of it. So the firing goes ahead of it, as far as is stored with it.
 */
import { fireWholly, openFiring, type Collector, type Firing } from '@weir/dataflow'
import { TURN_MS, backPressured, drain, isFull } from './flow.ts'
import { FRAME_BYTES_MAX } from './frame-size.ts'
import type { Signal } from './signal.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

/** An operator that fires, and what it emits into. */
export interface FiringRun {
  readonly firing: Firing
  readonly out: Collector
}

/** Of a stage, or of the chain of a split. */
interface Fires {
  readonly firings: readonly FiringRun[]
}

export const isFiring = ({ firings }: Fires): boolean => openFiring(firings) !== undefined

/** Or until the slice is over. `wake`: of the stage. */
export async function endFirings(scope: SliceScope, run: StageRun, wake: Signal): Promise<void> {
  const { clock, turn } = scope.deps
  let turnAt = clock.monotonic()
  for (let open = openFiring(run.firings); open !== undefined; open = openFiring(run.firings)) {
    if (run.pending.length > 0 || run.refused.length > 0) await drain(scope, run)
    await backPressured(scope, run, wake, () => !hasRoom(scope, run))
    if (scope.over) return
    const nowMs = clock.monotonic()
    run.bufferTimeout?.look(nowMs)
    if (nowMs - turnAt >= TURN_MS) {
      await turn()
      turnAt = clock.monotonic()
      if (scope.over) return
    }
    open.firing.fire(open.out)
  }
}

function hasRoom({ inFlightBytesMax }: SliceScope, run: StageRun): boolean {
  if (!isFull(run)) return true
  if (run.gate?.isOvertaken !== true) return false
  const waiting = run.outputs.reduce((sum, output) => sum + output.waiting, 0)
  return waiting < inFlightBytesMax / FRAME_BYTES_MAX
}

/** Of what goes nowhere. */
export const endFiringsAtOnce = ({ firings }: Fires): void => fireWholly(firings)
