/** What a given-up epoch had waited for, as each slice tells it: for people. Nothing is decided by it. */
import type { Epoch, Subtask } from '@weir/model'

/**
 * Why a slice had not acked. `barrier`: the stage had not taken the barrier from this input channel, neither what is in
 * front of it. `cut`: the source had not come to its cut. `snapshot`: all barriers were in, and what they cut was not durable.
 * Stages and senders are named by the operator at their head.
 */
export type LateInput =
  | { readonly cause: 'barrier'; readonly stage: string; readonly from: string; readonly fromSubtask: Subtask }
  | { readonly cause: 'cut'; readonly stage: string }
  | { readonly cause: 'snapshot' }

export interface LateInputs {
  /** At most `LATE_INPUTS_MAX`. */
  readonly inputs: readonly LateInput[]
  /** How many there are beyond them. */
  readonly more: number
}
export interface LateSlice extends LateInputs {
  readonly subtask: Subtask
}

export const LATE_INPUTS_MAX = 16
/** Slices remembered per epoch. */
export const LATE_SLICES_MAX = 16
/** Named in a text; the rest is counted. */
const NAMED_MAX = 4

export const boundedLate = (inputs: readonly LateInput[]): LateInputs => ({
  inputs: inputs.slice(0, LATE_INPUTS_MAX),
  more: Math.max(0, inputs.length - LATE_INPUTS_MAX),
})

/** `subtask 3 waited for barriers from orders[1], orders[2] into sum; …`: a sender is written operator[subtask]. */
export function lateText({ subtask, inputs, more }: LateSlice): string {
  const parts: string[] = []
  const stages = new Map<string, string[]>()
  for (const late of inputs) {
    if (late.cause === 'barrier') {
      const from = stages.get(late.stage)
      const name = `${late.from}[${late.fromSubtask}]`
      if (from === undefined) stages.set(late.stage, [name])
      else from.push(name)
    } else if (late.cause === 'cut') parts.push(`had not reached the cut in source ${late.stage}`)
    else parts.push('had not stored its snapshot')
  }
  for (const [stage, from] of stages) parts.push(`waited for barriers from ${listed(from)} into ${stage}`)
  if (more > 0) parts.push(`and ${more} more`)
  return `subtask ${subtask} ${parts.join(', ')}`
}

/** For the log and the alert. */
export const givenUpText = (epoch: Epoch, afterMs: number, late: LateSlice): string =>
  `epoch ${epoch} was given up after ${Math.round(afterMs)} ms: ${lateText(late)}`

/** `0, 3 and 2 more` */
export function listed(names: readonly (string | number)[]): string {
  const more = names.length - NAMED_MAX
  const named = names.slice(0, NAMED_MAX).join(', ')
  return more > 0 ? `${named} and ${more} more` : named
}
