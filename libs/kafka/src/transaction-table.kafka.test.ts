/**
 * What a real broker answers to another process that ends a stored transaction, under both protocols, and what the log and
 * the marker say then: the facts that recovery is built on. The process that prepared was killed.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { brokersByProtocol } from '../../../test/stack/endpoints.ts'
import { testKafka } from '../../../test/stack/kafka.ts'
import { MARKED, preparedAndKilled, type Prepared } from './testing/prepared.ts'
import { settled } from './testing/settled.ts'
import {
  addPartitionsToTxn,
  describeTransactions,
  endTxn,
  fetchRecords,
  initProducerId,
  offsetFetch,
  produce,
  type ProducerIdentity,
} from './wire/apis.ts'
import { readBatches } from './wire/read-batches.ts'
import { BatchBuilder } from './wire/records.ts'

const INVALID_TXN_STATE = 48
const PRODUCER_FENCED = 90

const TIMEOUT_MS = 60_000
const SOON_MS = 3_000
const FETCH_BYTES = 1 << 20

describe.each(brokersByProtocol())('a prepared transaction, %s', (protocol, broker) => {
  const { kafka, run, createTopics } = testKafka(broker)
  const { signal } = new AbortController()
  const topic = `table-${run}`
  const id = (name: string): string => `${name}-${run}`
  let prepared: Readonly<Record<string, Prepared>>

  beforeAll(async () => {
    await createTopics([topic])
    await kafka.partitions(topic)
    prepared = await preparedAndKilled(broker, topic, {
      [id('kept')]: TIMEOUT_MS,
      [id('expired')]: SOON_MS,
      [id('taken-over')]: TIMEOUT_MS,
      [id('committed-and-taken-over')]: TIMEOUT_MS,
    })
  })

  /** Answer to the commit of a transaction that the broker has aborted by itself, which raises the epoch. */
  const lost = protocol === 'v1' ? PRODUCER_FENCED : INVALID_TXN_STATE
  const stored = (name: string): ProducerIdentity => {
    const { producerId, producerEpoch } = prepared[id(name)]!
    return { producerId: BigInt(producerId), producerEpoch }
  }
  const commit = (name: string, of = stored(name)) =>
    kafka.toTransaction(id(name), endTxn(protocol, id(name), of, true), signal)
  const initialise = (name: string, current: ProducerIdentity | null = null) =>
    kafka.toTransaction(id(name), initProducerId(id(name), TIMEOUT_MS, current), signal)
  const stateOf = async (name: string): Promise<string> =>
    (await kafka.toTransaction(id(name), describeTransactions([id(name)]), signal)).transactions[0]!.state

  /** Control records of the stored producer, in their order, and whether the marker is there. */
  async function outcome(name: string, { producerId } = stored(name)) {
    await settled(kafka, run)
    const api = fetchRecords(topic, [{ partition: 0, offset: 0n, maxBytes: FETCH_BYTES }], {
      maxWaitMs: 100,
      readCommitted: false,
    })
    const { partitions } = await kafka.toLeader(topic, 0, api, signal)
    const { control } = readBatches(partitions[0]!.records!, 0n, null)
    const { committed } = await kafka.toGroup(id(name), offsetFetch(id(name), topic, [0]), signal)
    return {
      control: control.filter((c) => c.producerId === producerId).map((c) => c.type),
      marker: committed[0]!.offset === BigInt(MARKED) ? 'present' : 'absent',
    }
  }

  test('not expired: committed by its stored epoch, and once more with the same answer', async () => {
    const { producerId, producerEpoch } = stored('kept')
    const answer =
      protocol === 'v1'
        ? { errorCode: 0 }
        : { errorCode: 0, identity: { producerId, producerEpoch: producerEpoch + 1 } }
    expect(await commit('kept')).toEqual(answer)
    expect(await outcome('kept')).toEqual({ control: ['commit'], marker: 'present' })
    expect(await commit('kept')).toEqual(answer)
    expect(await outcome('kept')).toEqual({ control: ['commit'], marker: 'present' })
  })

  test('expired: aborted by the broker, and the commit is refused', async () => {
    await expect.poll(() => stateOf('expired')).toBe('CompleteAbort')
    expect(await commit('expired')).toEqual({ errorCode: lost })
    expect(await outcome('expired')).toEqual({ control: ['abort'], marker: 'absent' })
  })

  test('taken over before the commit: fenced, and the control record says that it was aborted', async () => {
    expect((await initialise('taken-over')).errorCode).toBe(0)
    expect(await commit('taken-over')).toEqual({ errorCode: PRODUCER_FENCED })
    expect(await outcome('taken-over')).toEqual({ control: ['abort'], marker: 'absent' })
  })

  test('taken over after the commit: the same answer, and the control record says that it was committed', async () => {
    expect((await commit('committed-and-taken-over')).errorCode).toBe(0)
    expect((await initialise('committed-and-taken-over')).errorCode).toBe(0)
    expect(await commit('committed-and-taken-over')).toEqual({ errorCode: PRODUCER_FENCED })
    expect(await outcome('committed-and-taken-over')).toEqual({ control: ['commit'], marker: 'present' })
  })

  test('a zombie that renews its epoch is refused, and yet aborts what its successor has open', async () => {
    const zombie = await initialise('renewed')
    const successor = await initialise('renewed')
    await write('renewed', successor)
    expect((await initialise('renewed', zombie)).errorCode).toBe(PRODUCER_FENCED)
    expect(await outcome('renewed', successor)).toEqual({ control: ['abort'], marker: 'absent' })
    expect(await commit('renewed', successor)).toEqual({ errorCode: lost })
  })

  async function write(name: string, of: ProducerIdentity): Promise<void> {
    if (protocol === 'v1') {
      const join = addPartitionsToTxn(id(name), of, [{ topic, partition: 0 }])
      expect(await kafka.toTransaction(id(name), join, signal)).toEqual({ errorCode: 0 })
    }
    const batch = new BatchBuilder()
    batch.append(null, name, Date.now())
    const api = produce(protocol, id(name), [{ topic, partition: 0, records: batch.finish(of, 0) }])
    expect((await kafka.toLeader(topic, 0, api, signal)).errorCode).toBe(0)
  }
})
