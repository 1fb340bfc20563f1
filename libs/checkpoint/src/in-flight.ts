/** Which stored in-flight records a slice must look through when it is restored, in a job of any parallelism. */
import { keyGroupRange, type Subtask } from '@weir/model'
import type { InFlightRef, Manifest } from './manifest.ts'

/**
 * Objects that may hold records of this slice's keys, and those whose asides it takes over. In order of the slices that
 * stored them. Records of one key were received by one slice and sent by any: so what was received goes in first, of all
 * objects, and then what was not sent yet.
 */
export function inFlightFor(
  { subtasks, maxParallelism }: Pick<Manifest, 'subtasks' | 'maxParallelism'>,
  subtask: Subtask,
  parallelism: number,
): readonly InFlightRef[] {
  const own = keyGroupRange(subtask, parallelism, maxParallelism)
  return subtasks
    .flatMap(({ inFlight }) => inFlight ?? [])
    .filter((ref) => {
      if (ref.hasUnsent || takesAsidesOf(ref, subtask, parallelism)) return true
      const { from, to } = keyGroupRange(ref.subtask, ref.parallelism, maxParallelism)
      return from < own.to && own.from < to
    })
    .toSorted((a, b) => a.subtask - b.subtask)
}

/** Asides have no key: whoever has the number of the slice that stored them takes them, in a smaller job modulo its size. */
export const takesAsidesOf = (ref: InFlightRef, subtask: number, parallelism: number): boolean =>
  ref.subtask % parallelism === subtask
