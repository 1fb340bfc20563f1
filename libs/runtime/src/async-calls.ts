/**
 * Operators of a stage that make calls: what has come back goes on between two elements, and who may not overtake what is
 * open (a barrier, the end, idleness) waits for it. A watermark waits inside the operator.
 */
import { heldUp } from './buffer-timeout.ts'
import { endFirings, isFiring } from './firings.ts'
import { drain } from './flow.ts'
import type { Signal } from './signal.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

/** `room`: an operator has more than it may call at once; `none`: nothing is on its way in any of them. */
export type CallsLeft = 'room' | 'none'

/** Hands on what has come back, until only so much is left or the slice is over. `wake` is notified by every call. */
export async function settleCalls(scope: SliceScope, run: StageRun, wake: Signal, until: CallsLeft): Promise<void> {
  for (;;) {
    for (const { calls, out } of run.calls) calls.emit(out)
    if (isFiring(run)) {
      await endFirings(scope, run, wake)
      if (scope.over) return
      continue // what has come back behind the watermark
    }
    if (run.pending.length > 0 || run.refused.length > 0) await drain(scope, run)
    if (scope.over || run.calls.every(({ calls }) => (until === 'room' ? !calls.isFull : calls.isEmpty))) return
    await heldUp(run, wake.wait())
  }
}

/** Waits for something else meanwhile, e.g. a poll. */
export async function settleCallsBeside<T>(scope: SliceScope, run: StageRun, wake: Signal, of: Promise<T>): Promise<T> {
  let isThere = false
  const there = (): void => {
    isThere = true
    wake.notify()
  }
  of.then(there, there)
  while (!isThere && !scope.over) {
    await settleCalls(scope, run, wake, 'room')
    for (const output of run.outputs) output.flush()
    if (!isThere && !scope.over) await wake.wait()
  }
  return of
}
