/**
 * The degrade switch of a job (`degradable`): people and remediation turn it, user code asks `context.degraded` and leaves out what
 * may be left out.
 *
 * It is turned at a barrier. The trigger of an epoch says how it stands behind that epoch's barrier, every stage takes it over with
 * its snapshot, and the snapshot keeps it: so all records between two barriers see the same in every subtask and stage, and
 * records that are read again behind a restored epoch see what they saw. An epoch that was given up changes nothing of
 * that: its barrier has turned the stages it came to, and the next one turns all.
 */
import { WeirError, type Epoch, type OperatorUid } from '@weir/model'
import type { OperatorContext } from './operator.ts'

/** How the switch stands for the record at hand. Throws `DEGRADE_SWITCH_ABSENT` (invalid) in a job without one. */
export type Switch = () => boolean

export function switchOf({ uid, degraded }: Pick<OperatorContext, 'uid' | 'degraded'>): Switch {
  return (
    degraded ??
    (() => {
      throw absent(uid)
    })
  )
}

const absent = (operatorUid: OperatorUid): WeirError =>
  new WeirError(
    { code: 'DEGRADE_SWITCH_ABSENT', kind: 'invalid', operatorUid },
    `operator "${operatorUid}" asks context.degraded, and its job has no degrade switch: give it the setting degradable: true.`,
  )

/** Barriers that are on their way at once are of a few epochs: one in flight, and some that were given up. */
const EPOCHS_MAX = 64

/** What triggers have said, by epoch, in one slice. */
export class DegradeSwitch {
  readonly #at = new Map<Epoch, boolean>()
  readonly #restored: boolean

  constructor(restored: boolean) {
    this.#restored = restored
  }

  told(epoch: Epoch, degraded: boolean): void {
    this.#at.set(epoch, degraded)
    for (const oldest of this.#at.keys()) {
      if (this.#at.size <= EPOCHS_MAX) break
      this.#at.delete(oldest)
    }
  }

  /** Behind the barrier of this epoch. */
  behind(epoch: Epoch): boolean {
    return this.#at.get(epoch) ?? this.#restored
  }
}
