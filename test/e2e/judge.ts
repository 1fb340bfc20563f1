/** Feeds the checkers with what an outsider can see of a fleet: the arbiters' history, the brokers' logs and offsets. */
import { Etcd3 } from 'etcd3'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import type { KafkaConnections } from '@weir/kafka'
import { fetchRecords, listOffsets } from '../../libs/kafka/src/wire/apis.ts'
import { systemClock } from '@weir/runtime/system'
import { Fencing, StuckReader, type Act, type InOrder, type NoDuplicate, type NoLoss } from '../checkers/index.ts'
import type { Fleet } from './fleet.ts'
import { judgeOutputs, type Expectation } from './orders.ts'

const run = promisify(execFile)
const FETCH_BYTES = 8 << 20
const SETTLE_MS = 5_000
const never = new AbortController().signal

/** Every change a leader has made in etcd, in the order etcd took them. */
async function etcdHistory(hosts: string, cluster: string): Promise<Act[]> {
  const etcd = new Etcd3({ hosts: `http://${hosts}` })
  const prefix = `/weir/${cluster}/`
  const end = `${prefix}judged`
  const acts: Act[] = []
  try {
    const watcher = await etcd.watch().prefix(prefix).startRevision('1').create()
    const complete = new Promise<void>((resolve) => {
      watcher.on('put', (kv) => {
        const key = kv.key.toString().slice(prefix.length)
        const text = kv.value.toString()
        if (`${prefix}${key}` === end) return resolve()
        // The leader key is empty between winning it and announcing the generation.
        if (key === 'leader' && text !== '')
          acts.push({ act: 'lead', generation: (JSON.parse(text) as { generation: number }).generation })
        if (!key.startsWith('heads/')) return
        const { epoch, generation, digest } = JSON.parse(text) as { epoch: number; generation: number; digest: string }
        acts.push({ act: 'publish', arbiter: 'etcd', jobId: key.slice(6), epoch, generation, manifest: digest })
      })
    })
    await etcd.put(end).value(String(acts.length))
    await complete
    const closed = once(watcher, 'end')
    await watcher.cancel()
    await closed
    return acts
  } finally {
    etcd.close()
  }
}

/** Every transactional batch and control record of a partition, in order, whatever became of its transaction. */
async function logHistory(kafka: KafkaConnections, topic: string, partition: number): Promise<Act[]> {
  const acts: Act[] = []
  let offset = 0n
  for (;;) {
    const call = fetchRecords(topic, [{ partition, offset, maxBytes: FETCH_BYTES }], {
      maxWaitMs: 0,
      readCommitted: false,
    })
    const records = (await kafka.toLeader(topic, partition, call, never)).partitions[0]?.records
    if (!records?.length) return acts
    for (let at = 0; at + 61 <= records.length; at += 12 + records.readInt32BE(at + 8)) {
      if (at + 12 + records.readInt32BE(at + 8) > records.length) break
      offset = records.readBigInt64BE(at) + BigInt(records.readInt32BE(at + 23)) + 1n
      const [producerId, producerEpoch] = [String(records.readBigInt64BE(at + 43)), records.readInt16BE(at + 51)]
      acts.push({ act: 'append', partition: `${topic}/${partition}`, producerId, producerEpoch })
    }
  }
}

/** Last stable offset and log end of a partition. Brokers write control records a little after they answer: bounded wait. */
async function settledEnds(
  kafka: KafkaConnections,
  topic: string,
  partition: number,
): Promise<[stable: bigint, end: bigint]> {
  const at = async (readCommitted: boolean): Promise<bigint> =>
    (await kafka.toLeader(topic, partition, listOffsets(topic, partition, -1n, readCommitted), never)).offset
  for (const deadline = performance.now() + SETTLE_MS; ;) {
    const end = await at(false)
    const stable = await at(true)
    if (stable >= end || performance.now() > deadline) return [stable, end]
    await systemClock.sleep(20)
  }
}

/** Fed with what readers of the topics get, once control records had their time. */
export async function stuckReaders(kafka: KafkaConnections, topics: readonly string[]): Promise<StuckReader> {
  const readers = new StuckReader()
  for (const topic of topics)
    for (const p of await kafka.partitions(topic)) readers.saw(`${topic}/${p}`, ...(await settledEnds(kafka, topic, p)))
  return readers
}

/** What an outside client (librdkafka) with `read_committed` sees: [key, value] in order of the partitions. */
export async function readCommitted(brokers: string, topic: string): Promise<[string, unknown][]> {
  const args = ['-b', brokers, '-C', '-t', topic, '-e', '-q', '-o', 'beginning']
  const format = ['-X', 'isolation.level=read_committed', '-f', '%k\t%s\n']
  const { stdout } = await run('kcat', [...args, ...format], { maxBuffer: 1 << 30 })
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const tab = line.indexOf('\t')
      return [line.slice(0, tab), JSON.parse(line.slice(tab + 1))]
    })
}

/** Every kind of checker, fed with what was left behind by a run of the orders job that has ended. */
export async function judge(
  fleet: Fleet,
  topics: { readonly sums: string; readonly counts: string },
  expected: Expectation,
): Promise<Judged> {
  const { kafka, servers, cluster } = fleet
  const read = (topic: string) => readCommitted(servers.kafka, topic)
  const outputs = [topics.sums, topics.counts]
  const partitions = await Promise.all(
    outputs.map(async (topic) => (await kafka.partitions(topic)).map((p) => [topic, p] as const)),
  )
  const readers = await stuckReaders(kafka, outputs)
  const fencing = new Fencing()
  for (const act of await etcdHistory(servers.etcd, cluster)) fencing.accepted(act)
  for (const [topic, p] of partitions.flat()) for (const act of await logHistory(kafka, topic, p)) fencing.accepted(act)
  const [loss, duplicate, order] = judgeOutputs(expected, await read(topics.sums), await read(topics.counts))
  return { loss, duplicate, order, fencing, readers }
}

export interface Judged {
  readonly loss: NoLoss
  readonly duplicate: NoDuplicate
  readonly order: InOrder
  readonly fencing: Fencing
  readonly readers: StuckReader
}
