/** The fingerprint as it stands in claims, for systems beside Weir that share a namespace of them. Its form: dataflow's `fingerprint.ts`. */
import { fingerprintText } from '@weir/dataflow'
import { hash } from 'node:crypto'

/** SHA-256, hex. `timestamp`: event time in ms, with the strategy `fields-and-second` only; else null. Throws as `fingerprintText`. */
export const fingerprintOf = (eventType: string, fields: unknown, timestamp: number | null = null): string =>
  hash('sha256', fingerprintText(eventType, fields, timestamp), 'hex')
