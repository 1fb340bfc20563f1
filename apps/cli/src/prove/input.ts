/** What a job under proof reads: records from files, or a sample of the topics it reads in earnest. */
import type { TransactionalLog } from '@weir/connectors'
import { KafkaConnections, KafkaTopics } from '@weir/kafka'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { readFile } from 'node:fs/promises'
import { usage } from '../usage.ts'

export interface InputRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly timestamp: number
}

/** Of the log: a key has a partition, what has none goes round. */
export const PARTITIONS = 4

/** `TOPIC=FILE` → topic, file. Throws `USAGE` (invalid). */
export function inputFiles(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw usage(`--input ${pair}: write TOPIC=FILE.ndjson`)
      return [pair.slice(0, at), pair.slice(at + 1)] as const
    }),
  )
}

/**
 * A line is the JSON of a value, or `{"key","value","timestamp"}` (all but the value may be left out).
 * Throws `INPUT_INVALID` (invalid) with file and line.
 */
export async function recordsOf(file: string): Promise<readonly InputRecord[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new WeirError({ code: 'INPUT_INVALID', kind: 'invalid', file }, `${file} cannot be read`, { cause })
  })
  return text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [recordIn(line, `${file}:${i + 1}`, i)]))
}

const FIELDS = ['key', 'value', 'timestamp']

function recordIn(line: string, place: string, index: number): InputRecord {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    const why = `${place}: ${(cause as Error).message}: write one JSON value a line`
    throw new WeirError({ code: 'INPUT_INVALID', kind: 'invalid', place }, why, { cause })
  }
  const isRecord = typeof value === 'object' && value !== null && 'value' in value
  if (!isRecord || !Object.keys(value as object).every((name) => FIELDS.includes(name))) {
    return { key: null, value: Buffer.from(line), timestamp: index }
  }
  const { key = null, value: of, timestamp = index } = value as { key?: unknown; value: unknown; timestamp?: number }
  const bytes = (one: unknown): Buffer | null =>
    one === null ? null : Buffer.from(typeof one === 'string' ? one : JSON.stringify(one))
  return { key: bytes(key), value: of === null ? null : Buffer.from(JSON.stringify(of)), timestamp }
}

/** The first records of every partition, about `count` together, committed ones. Nothing is written there. */
export async function sampleOf(brokers: string, topic: string, count: number): Promise<readonly InputRecord[]> {
  const kafka = new KafkaConnections({ brokers: brokers.split(','), clientId: 'weir-prove' }, { clock: systemClock })
  const topics = new KafkaTopics({ kafka, clock: systemClock, signal: new AbortController().signal })
  const records: InputRecord[] = []
  try {
    const partitions = await kafka.partitions(topic)
    const share = Math.ceil(count / partitions.length)
    for (const partition of partitions) {
      let taken = 0
      for await (const one of topics.read(topic, { partition, offset: 0 })) {
        if (one.partition !== partition || taken++ >= share) break
        records.push({ key: one.key, value: one.value, timestamp: one.timestamp })
      }
    }
  } finally {
    await topics.close()
  }
  return records
}

/** In one transaction. */
export async function writeInput(log: TransactionalLog, topic: string, records: readonly InputRecord[]): Promise<void> {
  const transactionalId = `prove-${topic}`
  const producer = { transactionalId, ...(await log.initProducer(transactionalId, 60_000)) }
  const byPartition: InputRecord[][] = Array.from({ length: PARTITIONS }, () => [])
  for (const [i, record] of records.entries())
    byPartition[record.key === null ? i % PARTITIONS : placeOf(record.key)]!.push(record)
  for (const [partition, own] of byPartition.entries()) {
    if (own.length > 0) await log.append({ ...producer, topic, partition, baseSequence: 0, records: own })
  }
  await log.end(producer, true)
}

/** FNV-1a: the same key, the same partition. */
function placeOf(key: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % PARTITIONS
}
