/**
 * What a topic takes, asked before anything is written: a record the broker would refuse makes its whole transaction one
 * that can only be aborted, and with it the dead letter it should become (PROTOCOL B7).
 */
import { WeirError } from '@weir/model'
import type { KafkaConnections } from './connections.ts'
import { describeConfigs } from './wire/describe.ts'

export interface TopicLimits {
  /** Of a batch as it is sent. */
  readonly batchBytesMax: number
  /** How far in the future an event time may lie, ms; null: anywhere, since the broker sets the time or does not look. */
  readonly aheadMsMax: number | null
  /** How far in the past. */
  readonly behindMsMax: number | null
  /** No record without a key. */
  readonly compacted: boolean
  /** The broker gives records a time of its own. */
  readonly brokerTime: boolean
}

/** Where the configuration may not be read: what the broker refuses then restarts the attempt. */
const UNKNOWN: TopicLimits = {
  batchBytesMax: Number.MAX_SAFE_INTEGER,
  aheadMsMax: null,
  behindMsMax: null,
  compacted: false,
  brokerTime: false,
}
const [SIZE, TYPE, AHEAD, BEHIND, POLICY] = [
  'max.message.bytes',
  'message.timestamp.type',
  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'cleanup.policy',
] as const
/** The broker's "no limit". */
const ANY = '9223372036854775807'

export async function topicLimits(kafka: KafkaConnections, topic: string, signal: AbortSignal): Promise<TopicLimits> {
  const api = describeConfigs({ topic }, [SIZE, TYPE, AHEAD, BEHIND, POLICY])
  const { errorCode, configs } = await kafka.toLeader(topic, 0, api, signal)
  if (errorCode !== 0) return UNKNOWN
  const brokerTime = configs.get(TYPE) === 'LogAppendTime'
  const atMost = (name: string): number | null => {
    const value = configs.get(name) ?? ANY
    return brokerTime || value === ANY ? null : Number(value)
  }
  return {
    batchBytesMax: Number(configs.get(SIZE) ?? UNKNOWN.batchBytesMax),
    aheadMsMax: atMost(AHEAD),
    behindMsMax: atMost(BEHIND),
    compacted: (configs.get(POLICY) ?? '').split(',').includes('compact'),
    brokerTime,
  }
}

export interface FinishedRecord {
  readonly bytes: number
  readonly timestamp: number
  readonly hasKey: boolean
}

/** Why the topic would refuse a record, with what to do about it; null: it takes it. Kind `invalid`. */
export function refusal(limits: TopicLimits, topic: string, record: FinishedRecord, nowMs: number): WeirError | null {
  const { batchBytesMax, aheadMsMax, behindMsMax, compacted } = limits
  const { bytes, timestamp, hasKey } = record
  const refused = (code: string, facts: Record<string, unknown>, text: string): WeirError =>
    new WeirError({ code, kind: 'invalid', topic, ...facts }, `topic "${topic}" takes no ${text}`)
  if (bytes > batchBytesMax) {
    const text = `record of ${bytes} bytes, at most ${batchBytesMax}: raise its max.message.bytes, or write smaller values.`
    return refused('RECORD_TOO_LARGE', { bytes, batchBytesMax }, text)
  }
  if (aheadMsMax !== null && timestamp - nowMs > aheadMsMax) {
    const text = `event time more than ${aheadMsMax} ms ahead: mend it in the job, or raise its ${AHEAD}.`
    return refused('RECORD_TIMESTAMP_REFUSED', { timestamp, aheadMsMax }, text)
  }
  if (behindMsMax !== null && nowMs - timestamp > behindMsMax) {
    const text = `event time more than ${behindMsMax} ms ago: raise its ${BEHIND}.`
    return refused('RECORD_TIMESTAMP_REFUSED', { timestamp, behindMsMax }, text)
  }
  if (compacted && !hasKey) return refused('RECORD_WITHOUT_KEY', {}, 'record without a key, since it is compacted.')
  return null
}
