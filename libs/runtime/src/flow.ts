/** What both kinds of loop do between two elements: event time, timers, writes that are waited for, room behind. */
import type { Cancel, Watermark } from '@weir/model'
import { putAside } from './asides.ts'
import { heldUp } from './buffer-timeout.ts'
import type { InputGate } from './input-gate.ts'
import type { Signal } from './signal.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

/** The loops give the event loop a turn at least this often: heartbeats, fetches and acks live there. */
export const TURN_MS = 8
/** An idle stage looks at its timers at least this often: clocks are set forward, and waits have a longest one. */
const TIMERS_LOOK_MS_MAX = 60_000

export function advance(run: StageRun, watermark: Watermark): void {
  if (watermark <= run.watermark) return
  run.watermark = watermark
  run.input.watermark(watermark)
}

/** Tells the stages behind; active again, they hear how far this one is. */
export function tellIdle(run: StageRun, isIdle: boolean): void {
  if (run.isIdle === isIdle) return
  run.isIdle = isIdle
  for (const output of run.outputs) {
    if (isIdle) output.idle()
    else output.watermark(run.watermark)
  }
}

/** Those of processing time. Fired between two elements: a barrier is before or behind, and their rows are in its state. */
export function fireTimers({ deps }: SliceScope, run: StageRun): boolean {
  let fired = false
  for (const { timers, out } of run.timed) {
    if (timers.nextMs > deps.clock.now()) continue
    timers.fire(out)
    fired = true
  }
  return fired
}

export function wakeForTimers({ deps }: SliceScope, { timed }: StageRun, gate: InputGate): Cancel | null {
  let next = Number.POSITIVE_INFINITY
  for (const { timers } of timed) next = Math.min(next, timers.nextMs)
  if (next === Number.POSITIVE_INFINITY) return null
  const { clock } = deps
  return clock.after(Math.min(Math.max(next - clock.now(), 0), TIMERS_LOOK_MS_MAX), () => gate.wake())
}

export const isFull = ({ outputs }: StageRun): boolean => outputs.some((output) => output.full)

/** Holds the loop while a receiver has no room. `meanwhile`: barriers that need not wait for it; called on every wake. */
export function room(scope: SliceScope, run: StageRun, wake: Signal, meanwhile?: () => void): Promise<void> {
  return backPressured(scope, run, wake, () => isFull(run), meanwhile)
}

/** Holds it as long as the caller says. */
export async function backPressured(
  scope: SliceScope,
  run: StageRun,
  wake: Signal,
  isHeld: () => boolean,
  meanwhile?: () => void,
): Promise<void> {
  if (scope.over || !isHeld()) return
  const { clock } = scope.deps
  run.clock.waits('back-pressured', clock.monotonic())
  do {
    meanwhile?.()
    await heldUp(run, wake.wait())
  } while (!scope.over && isHeld())
  run.clock.goesOn(clock.monotonic())
}

/** A write the sink has not taken yet. Should the loop end before it awaits it, its failure is one of those that ended it. */
export function awaitLater(run: StageRun, write: Promise<void> | undefined): void {
  if (write === undefined) return
  write.catch(() => {})
  run.pending.push(write)
}

/** Nothing of what came before is left behind: a barrier may follow. */
export async function drain(scope: SliceScope, run: StageRun): Promise<void> {
  while (run.pending.length > 0 || run.refused.length > 0) {
    const writes = run.pending
    run.pending = []
    if (run.refused.length > 0) writes.push(putAside(scope, run))
    await heldUp(run, Promise.all(writes))
  }
}

export async function waitOr({ deps }: SliceScope, wake: Signal, ms: number): Promise<void> {
  const cancel = deps.clock.after(ms, () => wake.notify())
  await wake.wait()
  cancel()
}
