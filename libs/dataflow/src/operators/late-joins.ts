/** Records that come too late for a join: counted, and in the side output of their stream. */
import type { OutsOf, StateDescriptors, TimerKinds } from '../keyed-state.ts'
import { sideOutput, type SideOutput } from '../side-output.ts'
import type { LateContext } from './keyed-process.ts'

/** Of the left stream and of the right one, which have types of their own. */
const LATE_LEFT = 'lateLeft'
const LATE_RIGHT = 'lateRight'
export interface JoinLate<A, B> {
  readonly [LATE_LEFT]: A
  readonly [LATE_RIGHT]: B
}

export type LateSides = Readonly<Record<typeof LATE_LEFT | typeof LATE_RIGHT, SideOutput<unknown>>>
export const lateSides: LateSides = { [LATE_LEFT]: sideOutput(), [LATE_RIGHT]: sideOutput() }

export function tellLate<S extends StateDescriptors, M extends TimerKinds>(
  side: 'left' | 'right',
  context: LateContext<S, M>,
  value: unknown,
): void {
  context.late()
  const sides = context.sides as unknown as OutsOf<LateSides>
  sides[side === 'left' ? LATE_LEFT : LATE_RIGHT].emit(value)
}
