/**
 * A process that prepares transactions, says so, and waits to be killed: `node preparer.ts BROKER TOPIC [NAME:TIMEOUT_MS …]`.
 * Each has one record, its own name, in partition 0, and a marker of the group of the same name with the offset MARKED.
 */
import { systemClock } from '@weir/runtime/system'
import { KafkaConnections } from '../connections.ts'
import { TransactionLane } from '../lane.ts'
import { BatchBuilder } from '../wire/records.ts'
import { MARKED, type Prepared } from './prepared.ts'

const [broker, topic, ...transactions] = process.argv.slice(2) as [string, string, ...string[]]
const { signal } = new AbortController()
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-preparer' }, { clock: systemClock })
await kafka.partitions(topic) // finds the leader
const protocol = await kafka.transactionProtocol()

const prepared = await Promise.all(
  transactions.map(async (described): Promise<[string, Prepared]> => {
    const [name, timeoutMs] = described.split(':') as [string, string]
    const options = { transactionalId: name, protocol, transactionTimeoutMs: Number(timeoutMs) }
    const lane = new TransactionLane(options, { kafka, clock: systemClock, signal, released: () => {} })
    await lane.fence()
    const batch = new BatchBuilder()
    batch.append(null, name, Date.now())
    lane.append({ topic, partition: 0 }, batch)
    await lane.flush()
    const offsets = [{ partition: 0, offset: BigInt(MARKED), metadata: '' }]
    await lane.mark({ group: name, topic, sequence: MARKED, offsets })
    const { producerId, producerEpoch } = lane.identity
    return [name, { producerId: String(producerId), producerEpoch }]
  }),
)
process.stdout.write(`${JSON.stringify(Object.fromEntries(prepared))}\n`)
