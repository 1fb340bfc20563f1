/** The loop of a stage behind channels: one element after the other, as its gate hands them out. */
import { settleCalls } from './async-calls.ts'
import { passAside } from './asides.ts'
import { endFirings, isFiring } from './firings.ts'
import { TURN_MS, advance, drain, fireTimers, room, tellIdle, wakeForTimers } from './flow.ts'
import type { GateBarrier, GateEvent } from './gate-event.ts'
import type { InputGate } from './input-gate.ts'
import type { SourceLoopDeps } from './source-loop.ts'
import type { StageRun } from './stage-run.ts'

export type StageLoopDeps = SourceLoopDeps

const waitsForCalls = ({ type }: GateEvent): boolean => type === 'barrier' || type === 'idle' || type === 'end'

/** Ends with the slice: also behind the end of its input, barriers follow. */
export async function stageLoop(run: StageRun, gate: InputGate, deps: StageLoopDeps): Promise<void> {
  const { scope, participation } = deps
  const { clock, turn } = scope.deps
  const wake = scope.wakeOf(run.stage.index)
  scope.signal.addEventListener('abort', () => gate.wake(), { once: true })
  const snapshot = (event: GateBarrier): void =>
    participation.snapshot(run, event.checkpoint, { alignMs: event.alignMs, overtaken: event.overtaken })
  const overtake = (): void => {
    const event = gate.overtakenBarrier()
    if (event !== undefined) snapshot(event)
  }
  let turnAt = clock.monotonic()
  run.clock.begin(turnAt)
  while (!scope.over) {
    if (run.calls.length > 0) await settleCalls(scope, run, wake, 'room')
    if (fireTimers(scope, run)) await drain(scope, run)
    const event = gate.next()
    if (event === undefined) {
      for (const output of run.outputs) output.flush()
      run.bufferTimeout?.flushed()
      const cancel = wakeForTimers(scope, run, gate)
      run.clock.waits('idle', clock.monotonic())
      await gate.arrival()
      cancel?.()
      turnAt = clock.monotonic()
      run.clock.goesOn(turnAt)
      continue
    }
    if (run.calls.length > 0 && waitsForCalls(event)) await settleCalls(scope, run, wake, 'none')
    if (scope.over) return
    switch (event.type) {
      case 'records': {
        const input = run.operands[event.operand]!
        const passing = scope.traces?.enter(run, event.batch) ?? null
        if (passing === null) input.emit(event.batch)
        else scope.traces!.through(passing, () => input.emit(event.batch))
        break
      }
      case 'watermark':
        advance(run, event.timestamp)
        if (isFiring(run)) await endFirings(scope, run, wake)
        break
      case 'idle':
        tellIdle(run, event.isIdle)
        break
      case 'aside':
        passAside(scope, run, event.records)
        break
      case 'barrier':
        snapshot(event)
        break
      case 'end':
        run.input.end()
        deps.ended()
        break
    }
    if (run.pending.length > 0 || run.refused.length > 0) await drain(scope, run)
    await room(scope, run, wake, overtake)
    const nowMs = clock.monotonic()
    run.bufferTimeout?.look(nowMs)
    if (nowMs - turnAt >= TURN_MS) {
      await turn()
      turnAt = clock.monotonic()
    }
  }
}
