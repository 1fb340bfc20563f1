/** Which crashes a proof consists of: chosen by a seed, so that it can be repeated. Pure. */
import { SeededRandom } from '@weir/model/testing'
import { CRASH_POINTS, type Crash, type CrashPoint, type CrashPointName } from './points.ts'

export interface Run {
  /** From 1. */
  readonly number: number
  /** Of the first task-manager, of the one that takes its place, … */
  readonly crashes: readonly Crash[]
}

/** As many epochs as a trial has for certain. */
const NTH_MAX = 4
const AGAIN_SHARE = 0.4
const AGAIN: readonly CrashPointName[] = ['before-recovery', 'after-recovery', 'before-acknowledgement']

/** `rounds` times every point. */
export function planRuns(seed: number, points: readonly CrashPointName[], rounds: number): readonly Run[] {
  const random = new SeededRandom(seed)
  for (let i = 0; i < 8; i++) random.next() // small seeds begin alike
  const below = (n: number): number => Math.floor(random.next() * n)
  const crashAt = (point: CrashPointName): Crash => {
    const { once }: CrashPoint = CRASH_POINTS[point]
    return { point, nth: once === true ? 1 : 1 + below(NTH_MAX) }
  }
  return Array.from({ length: rounds * points.length }, (_, i) => {
    const first = crashAt(points[i % points.length]!)
    const isAgain = random.next() < AGAIN_SHARE
    return { number: i + 1, crashes: isAgain ? [first, crashAt(AGAIN[below(AGAIN.length)]!)] : [first] }
  })
}
