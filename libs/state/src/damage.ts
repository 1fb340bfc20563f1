/** What may be wrong with stored state. All of kind `invalid`: nothing is restored, an older epoch is offered, never taken. */
import { WeirError } from '@weir/model'

const ADVICE =
  'Nothing of it is in use. Restore the object from a backup or its bucket version, or start from an older epoch.'

export const corrupt = (objectKey: string, why: string): WeirError =>
  new WeirError(
    { code: 'SEGMENT_CORRUPT', kind: 'invalid', objectKey },
    `state segment ${objectKey} is damaged: ${why}. ${ADVICE}`,
  )

export const missing = (objectKey: string): WeirError =>
  new WeirError(
    { code: 'SEGMENT_MISSING', kind: 'invalid', objectKey },
    `state segment ${objectKey} is named by the manifest and is not in the object store. ${ADVICE}`,
  )

/** A segment adds to a state that is not the one before it: a sum would be counted twice or lost. */
export const brokenChain = (
  objectKey: string,
  facts: { writer: string; operatorUid: string; continues: number; restored: number },
): WeirError =>
  new WeirError(
    { code: 'SEGMENT_CHAIN_BROKEN', kind: 'invalid', objectKey, ...facts },
    `state segment ${objectKey} continues version ${facts.continues} of operator "${facts.operatorUid}" (writer ${facts.writer}), restored is ` +
      `version ${facts.restored}: the chain in the manifest repeats or misses a segment. ${ADVICE}`,
  )
