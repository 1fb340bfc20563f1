/** `weir verify`: reads inputs, outputs and receipts of an audited job again, straight from Kafka, and compares. */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  provenanceOf,
  verifyJob,
  type Hashes,
  type Provenance,
  type ReceiptName,
  type RecordPlace,
  type Verification,
} from '@weir/dataflow'
import { KafkaConnections, KafkaTopics, kafkaSecurity } from '@weir/kafka'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { needed, usage } from './usage.ts'

export interface VerifyCommand {
  readonly jobId: string | undefined
  /** Of the receipts. */
  readonly topic: string | undefined
  /** host:port,… */
  readonly brokers: string | undefined
  readonly shared: readonly string[]
  /** `TOPIC/PARTITION@OFFSET`: of this one only. */
  readonly record: string | undefined
}

/** Between two looks at a place that does not fit. */
const SETTLE_MS = 1_000

/** 0: everything fits; 1: something does not. No job-manager is asked: nothing of Weir has to run. */
export async function verify(
  { jobId, topic, brokers, shared, record }: VerifyCommand,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  const job = needed(jobId, 'JOB-ID')
  if (brokers === undefined)
    throw usage('verify reads from Kafka itself: give --kafka HOST:PORT,… or WEIR_KAFKA_BROKERS')
  const place = record === undefined ? null : placeOf(record)
  const security = kafkaSecurity(process.env)
  const of = { brokers: brokers.split(','), clientId: 'weir-verify', security }
  const kafka = new KafkaConnections(of, { clock: systemClock })
  const { signal } = new AbortController()
  const topics = new KafkaTopics({ kafka, clock: systemClock, signal })
  try {
    const options = { jobId: job, topic: topic ?? `${job}.receipts`, shared }
    const hashes: Hashes = { sha256: (bytes) => hash('sha256', bytes, 'hex'), crc32: (bytes) => crc32(bytes) }
    const deps = { topics, hashes, settle: () => systemClock.sleep(SETTLE_MS) }
    if (place !== null) {
      const provenance = await provenanceOf(place, options, deps)
      print({ ...place, ...provenance }, told(record!, provenance, options.topic))
      return provenance.read.length === 0 && provenance.written === null ? 1 : 0
    }
    const answer = await verifyJob(options, deps)
    print(answer, summary(answer, options.topic))
    return answer.findings.length === 0 && answer.receipts > 0 ? 0 : 1
  } catch (error) {
    if (topic !== undefined || !(error instanceof WeirError && error.code === 'UNKNOWN_TOPIC')) throw error
    throw usage(
      `there is no topic "${job}.receipts"; with audit: true receipts are in NAME-OF-THE-JOB.receipts: give --receipts TOPIC`,
    )
  } finally {
    await topics.close()
  }
}

function summary({ receipts, outputs, inputs, findings, more }: Verification, topic: string): string {
  if (receipts === 0)
    return `there is no receipt of this job in "${topic}": give --receipts TOPIC, or write them (audit: true)`
  const fits = `${receipts} receipts: ${outputs} records written and ${inputs} read are as they say`
  const lines = findings.map(({ code, message }) => `${code}: ${message}`)
  return [fits, ...lines, ...(more ? ['and more'] : [])].join('\n')
}

function placeOf(text: string): RecordPlace {
  const [, topic, partition, offset] = /^(.+)\/(\d+)@(\d+)$/.exec(text) ?? []
  if (topic === undefined) throw usage(`--record is "${text}"; give TOPIC/PARTITION@OFFSET, as orders/3@4711`)
  return { topic, partition: Number(partition), offset: Number(offset) }
}

function told(record: string, { read, written, madeOf }: Provenance, topic: string): string {
  const receipt = ({ sink, subtask, sequence, epoch, run, offset }: ReceiptName): string =>
    `epoch ${epoch}, by receipt ${sequence} of sink "${sink}", subtask ${subtask} (run ${run}; offset ${offset} of ${topic})`
  const lines = read.map((of) => `read as source "${of.source}" in ${receipt(of)}`)
  if (written !== null) lines.push(`written in ${receipt(written)}`)
  for (const [place, upTo] of Object.entries(madeOf ?? {}))
    lines.push(`  of what ${place} held in front of offset ${upTo}`)
  return [record, ...(lines.length > 0 ? lines : ['no receipt of this job speaks of it'])].join('\n')
}
