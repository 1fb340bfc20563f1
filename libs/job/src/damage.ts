/** Stored state that is damaged ends the job; the error says what somebody may go back to. */
import type { ManifestRef } from '@weir/checkpoint'
import type { Failure } from './state.ts'

const CODES = new Set([
  ...['SEGMENT_CORRUPT', 'SEGMENT_MISSING', 'SEGMENT_CHAIN_BROKEN'],
  ...['MANIFEST_CORRUPT', 'MANIFEST_MISSING'],
])
export const isDamage = (failure: Failure | null | undefined): failure is Failure => CODES.has(failure?.code ?? '')

/**
 * Adds the epoch that could not be restored, and the newest kept one whose objects all verify. Going back undoes what later
 * epochs have committed, so it is offered and never taken.
 */
export function withOffer(failure: Failure, restored: ManifestRef | null, offered: ManifestRef | null): Failure {
  const offer =
    offered === null
      ? 'No older epoch that is kept is whole either.'
      : `Epoch ${offered.epoch} (${offered.key}) is whole. It is not taken by itself: output of later epochs is committed already and would be written again; \`weir start\` with --from ${offered.epoch} tells what, and takes it with --accept-repeated-output.`
  return {
    ...failure,
    message: `epoch ${restored?.epoch ?? 0} cannot be restored: ${failure.message} ${offer}`,
    facts: {
      ...failure.facts,
      epoch: restored?.epoch ?? 0,
      offered: offered === null ? null : { epoch: offered.epoch, manifest: offered.key, digest: offered.digest },
    },
  }
}
