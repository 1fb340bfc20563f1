/**
 * Claims in memory over this machine's disk over a store that decides, as a job names them (`tiered(…)`).
 *
 * Each subtask of an operator has a folder, which outlives its attempts: what was decided while the store was away waits there to be told,
 * until the subtask claims again on this machine. LevelDB is one process's and one thread's; a folder that is still open in the attempt
 * before is waited for like a store that is away.
 */
import type { SubtaskContext } from '@weir/dataflow'
import { HotTier, LevelTier, OpeningTier, TieredTier, type ClaimTier } from '@weir/idempotency'
import { WeirError, type Clock } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

export interface TieredClaimsOptions {
  readonly namespace: string
  readonly folder: string
  readonly soleWriter: boolean
  readonly entriesMax: number
  readonly decidesAlone: boolean
}

type OnDegraded = (isDegraded: boolean, facts: { readonly why: string; readonly passedTwice: number }) => void

export const claimsFolder = (root: string, { jobId, operatorUid, subtask }: SubtaskContext): string =>
  join(root, jobId, operatorUid, String(subtask))

/** Of one slot. */
export class TieredStores {
  readonly #opened: { readonly folder: string; readonly tier: TieredTier }[] = []

  /** @param remote opened by the first call that needs it, so that a job may begin without it */
  open(
    { namespace, folder, soleWriter, entriesMax, decidesAlone }: TieredClaimsOptions,
    remote: (signal: AbortSignal) => Promise<ClaimTier>,
    clock: Clock,
    onDegraded: OnDegraded,
  ): ClaimTier {
    return new OpeningTier(async () => {
      const local = await LevelTier.open({ folder, onDamage: 'setAside' }, { clock }).catch((error: unknown) => {
        throw whileLocked(error)
      })
      const tier = new TieredTier(
        { namespace, soleWriter, onUnavailable: decidesAlone ? 'local' : 'fail' },
        {
          memory: new HotTier({ entriesMax }, { clock }),
          ...{ local, remote: new OpeningTier(remote), clock, random: systemRandom, onDegraded },
        },
      )
      this.#opened.push({ folder, tier })
      return tier
    })
  }

  /** Behind a job that has ended, when its stores are closed. What the remote tier does not know of stays. */
  async forget(): Promise<void> {
    const known = this.#opened.filter(({ tier }) => !tier.degraded)
    await Promise.allSettled(known.map(({ folder }) => rm(folder, { recursive: true, force: true })))
  }
}

function whileLocked(error: unknown): unknown {
  if (!(error instanceof WeirError) || error.code !== 'CLAIM_TIER_LOCKED') return error
  return new WeirError({ ...error.facts, code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' }, error.message, {
    cause: error,
  })
}
