/**
 * The speed limit: the same work by hand, without an engine. Fetch, JSON, sum in a Map, transactional produce, a commit
 * every second; one thread, no shuffle, no state beyond the Map, no recovery. Prints one JSON line about itself.
 */
import { KafkaConnections, KafkaSink, KafkaSource } from '@weir/kafka'
import { attempt, epoch, generation, jobId, operatorUid, subtask, systemClock } from '@weir/model'
import { readFileSync } from 'node:fs'

const [brokers, orders, sums, name] = process.argv.slice(2) as [string, string, string, string]
const connect = (): KafkaConnections =>
  new KafkaConnections({ brokers: [brokers], clientId: name }, { clock: systemClock })
const identity = { generation: generation(1), attempt: attempt(1) }
const context = {
  jobId: jobId(name),
  attempt: identity,
  operatorUid: operatorUid('loop'),
  subtask: subtask(0),
  parallelism: 1,
  maxParallelism: 128,
  signal: new AbortController().signal,
}
const text = (value: unknown): string => String(value)
const source = new KafkaSource(
  { topic: orders, startFrom: 'earliest', until: 'latest', isolation: 'read_committed' },
  { context, kafka: connect(), clock: systemClock },
)
const sink = new KafkaSink(
  { topic: sums, poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: text, encodeValue: text },
  { context, kafka: connect(), clock: systemClock, staged: null },
)
await source.open(null)
await sink.recover(null)

const cpuBefore = process.cpuUsage()
const startedAt = performance.now()
const totals = new Map<string, number>()
let records = 0
let commits = 0
let committedAt = startedAt
const commit = async (): Promise<void> => {
  const { sequence } = await sink.prepare({ ...identity, epoch: epoch(++commits) })
  await sink.commit(sequence)
  committedAt = performance.now()
}
for (;;) {
  const polled = await source.poll(2_000)
  if (polled === 'end') break
  if (polled === 'idle' || polled.kind !== 'raw') continue
  const { raw } = polled
  const keys: string[] = []
  const values: number[] = []
  for (let i = 0; i < raw.count; i++) {
    const order = JSON.parse(raw.buffer.toString('utf8', raw.valueStart[i], raw.valueEnd[i])) as {
      user: string
      amountMinor: number
    }
    const sum = (totals.get(order.user) ?? 0) + order.amountMinor
    totals.set(order.user, sum)
    keys.push(order.user)
    values.push(sum)
  }
  records += raw.count
  await sink.write({ keys, values, timestamps: Array.from(raw.timestamps.subarray(0, raw.count)) })
  if (performance.now() - committedAt > 1_000) await commit()
}
await commit()
const seconds = (performance.now() - startedAt) / 1_000
const { user, system } = process.cpuUsage(cpuBefore)
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1_024
console.log(JSON.stringify({ records, seconds, cpuSeconds: (user + system) / 1e6, peakMiB: peak }))
process.exit(0)
