/** What can be wrong with transaction ids, in one place: codes, duties, words. */
import { WeirError } from '@weir/model'

/**
 * Why no id is given out at this moment. What is `retry` passes by itself: `DtxIds.ready` waits for it.
 * - `lease-lost` no worker id is held, or its lease is over by our clock
 * - `fleet-silent` the job-manager's time has not been heard for too long
 * - `drifted` the wall clock ran ahead of the fleet's by more than allowed; the fleet and the lease are asked first
 * - `ahead` ids of every ms that may be used by now are used: faster than the format, or the worker id's last holder was ahead
 * - `unmarked` etcd has not acknowledged the next block of time yet
 * - `out-of-time` the field of 41 bits is over
 */
export type Blocked = 'lease-lost' | 'fleet-silent' | 'drifted' | 'ahead' | 'unmarked' | 'out-of-time'

export type DtxIdErrorCode =
  'DTXID_LEASE_LOST' | 'DTXID_DRIFT' | 'DTXID_EXHAUSTED' | 'DTXID_MARK_UNSAFE' | 'DTXID_INVALID' | 'DTXID_UNAVAILABLE'

const WORDS: Readonly<Record<Blocked, readonly [DtxIdErrorCode, string]>> = {
  'lease-lost': [
    'DTXID_LEASE_LOST',
    'no worker id is held: its lease is over, or etcd has not given one yet. Another process may hold it by now; a new one is asked for',
  ],
  'fleet-silent': [
    'DTXID_DRIFT',
    "the job-manager's time was not heard for too long, so drift cannot be ruled out. Is a job-manager leading and reachable?",
  ],
  drifted: [
    'DTXID_DRIFT',
    'the wall clock of this machine ran ahead of the fleet; it is corrected as soon as a job-manager and etcd have answered',
  ],
  ahead: [
    'DTXID_EXHAUSTED',
    'every id up to 50 ms ahead of the fleet is used: wait (`ready`), ask for fewer per second, or use the 68-bit form',
  ],
  unmarked: [
    'DTXID_MARK_UNSAFE',
    'etcd has not acknowledged the next block of time: ids above it could be given out twice',
  ],
  'out-of-time': ['DTXID_EXHAUSTED', 'the 41 bits of time are over: the format ends here'],
}

export const blockedError = (why: Blocked, facts: Readonly<Record<string, unknown>> = {}): WeirError => {
  const [code, words] = WORDS[why]
  return new WeirError({ ...facts, code, kind: why === 'out-of-time' ? 'invalid' : 'retry', why }, `${code}: ${words}.`)
}

export const invalidId = (got: string, rule: string): WeirError =>
  new WeirError({ code: 'DTXID_INVALID', kind: 'invalid', got }, `"${got}" is no transaction id: ${rule}.`)

export const invalidSetting = (setting: string, got: unknown, rule: string): WeirError =>
  new WeirError({ code: 'DTXID_INVALID', kind: 'invalid', setting, got }, `${setting} is ${String(got)}: ${rule}.`)
