/** What a record is called in claims. */
import type { OperatorUid, RecordBatch } from '@weir/model'
import { ordinalText, readAt, type OriginNames } from './origin.ts'

/** What the records of one operator are called by. */
export interface ClaimNames {
  readonly jobId: string
  readonly uid: OperatorUid
  /** Of `claimedWindow`. */
  readonly window: OperatorUid | null
  readonly names: OriginNames | undefined
  /** Of the log a place is in, which another log of its name does not have; null: its source has none. Of one attempt the same. */
  readonly logId: (place: number) => string | null
}

/**
 * The same whenever the record is read again, and no other's: job, operator, topic and its id, partition, offset, ordinal; of a
 * result of a window, which was read nowhere: window, key, end. Null: neither is known.
 */
export type ClaimOrigin = (batch: Pick<RecordBatch, 'keys' | 'timestamps' | 'origins'>, index: number) => string | null

/** Of one attempt: what all records of a place have in common is made once. */
export function claimOrigin({ jobId, uid, window, names, logId }: ClaimNames): ClaimOrigin {
  const parts = new Map<number, readonly [before: string, behind: string]>()
  let lastPlace = Number.NaN
  let [before, behind] = ['', '']
  const moveTo = (place: number, of: OriginNames): void => {
    let found = parts.get(place)
    if (found === undefined) {
      const id = logId(place)
      found = [`${jobId}/${uid}/${readAt(of(place))}/`, id === null ? '' : `@${id}`]
      parts.set(place, found)
    }
    ;[before, behind] = found
    lastPlace = place
  }
  return ({ origins, keys, timestamps }, index) => {
    if (origins !== undefined && names !== undefined) {
      const { places, offsets, ordinals } = origins
      const place = places[index]!
      if (place !== lastPlace) moveTo(place, names)
      return `${before}${offsets[index]!}${ordinalText(ordinals, index)}${behind}`
    }
    if (window === null || keys === null) return null
    const key = keys[index]!
    return `${jobId}/${uid}/${window}/${typeof key}:${key}/${timestamps[index]! + 1}`
  }
}
