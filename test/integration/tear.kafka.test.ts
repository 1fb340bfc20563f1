/**
 * A Produce that is delayed on its way until the next transaction of its transactional id has begun. The connection it was
 * on is gone by then (within one connection nothing overtakes), its transaction was aborted and reported as such.
 *
 * Kafka's client protocol v1 tells transactions of one producer epoch apart by nothing: stock kafkajs, which takes its
 * epoch once, tears. Weir gives each transaction an epoch of its own. kcat with `read_committed` is the judge.
 */
import { contextOf } from '@weir/dataflow/testing'
import { KafkaSink } from '@weir/kafka'
import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Kafka, logLevel } from 'kafkajs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { produce } from '../../libs/kafka/src/wire/apis.ts'
import { Reader } from '../../libs/kafka/src/wire/bytes.ts'
import { brokersByProtocol } from '../stack/endpoints.ts'
import { connect, testKafka } from '../stack/kafka.ts'
import { DelayingProxy } from './delaying-proxy.ts'

const INVALID_PRODUCER_EPOCH = 47

describe.each(brokersByProtocol())('a delayed Produce, %s', (protocol, broker) => {
  const { run, createTopics, committed } = testKafka(broker)
  let proxy: DelayingProxy
  beforeEach(async () => void (proxy = await DelayingProxy.before(broker)))
  afterEach(() => proxy.close())

  async function topicFor(name: string): Promise<string> {
    const topic = `tear-${name}-${run}`
    await createTopics([topic])
    return topic
  }
  const seen = (topic: string): Promise<string[]> => committed(topic, '%s', run)

  test('stock kafkajs tears: what was aborted is visible, what was committed is gone', async () => {
    const topic = await topicFor('kafkajs')
    const retry = { retries: 5, initialRetryTime: 10 } // 5 is its default; each repetition is kept too
    const client = new Kafka({ clientId: 'stock', brokers: [proxy.address], logLevel: logLevel.NOTHING, retry })
    const producer = client.producer({ transactionalId: `stock-${run}` })
    await producer.connect()
    proxy.onProduce = async (frame) => {
      if (frame.includes('aborted')) return 'keep'
      await proxy.deliver() // the partition is in the next transaction, and kafkajs uses the sequence again
      return 'pass'
    }

    const first = await producer.transaction()
    await expect(first.send({ topic, messages: [{ value: 'aborted' }] })).rejects.toThrow('Closed connection')
    await first.abort()
    expect(proxy.kept).toBeGreaterThan(0)
    const second = await producer.transaction()
    const [answer] = await second.send({ topic, messages: [{ value: 'committed' }] })
    expect(answer!.errorCode).toBe(0)
    await second.commit()
    await producer.disconnect()

    expect(await seen(topic)).toEqual(['aborted'])
  })

  async function sinks(name: string) {
    const topic = await topicFor(name)
    const through = connect(proxy.address)
    const context = contextOf(`tear-${name}-${run}`, 'out')
    const options = { topic, poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
    const sink = (): KafkaSink => new KafkaSink(options, { context, kafka: through, clock: systemClock, staged: null })
    return { topic, sink, close: () => through.close() }
  }
  const checkpoint = (n: number): CheckpointId => ({
    generation: generation(1),
    attempt: attempt(1),
    epoch: epoch(n),
  })
  const record = (value: string) => ({ keys: ['k'], values: [value], timestamps: [1_700_000_000_000] })
  const errorCodes = (answers: readonly Buffer[]): number[] =>
    answers.map((answer) => produce(protocol, '', []).read(new Reader(answer)).errorCode)

  /** Delivers what is kept right before the n-th Produce that passes. */
  function deliverBefore(nth: number) {
    const begun = Promise.withResolvers<void>()
    const codes: number[] = []
    let passed = 0
    const pass = async (): Promise<'pass'> => {
      if (++passed === nth) codes.push(...errorCodes(await proxy.deliver()))
      begun.resolve()
      return 'pass'
    }
    return { pass, begun: begun.promise, codes }
  }

  /** A transaction of two Produce requests; the lane sends the second when the first is answered. */
  async function commitTwo(sink: KafkaSink, begun: Promise<void>, sequence: number) {
    await sink.write(record('record two'))
    await begun
    await sink.write(record('record three'))
    const state = await sink.prepare(checkpoint(2))
    await sink.commit(sequence)
    await sink.close('abort')
    return state
  }

  test.each([1, 2])('Weir, aborted and recovered: refused, also before Produce %i of the next', async (nth) => {
    const { topic, sink, close } = await sinks(`recovered-${nth}`)
    const { pass, begun, codes } = deliverBefore(nth)
    const kept = Promise.withResolvers<void>()
    proxy.onProduce = (frame) => {
      if (!frame.includes('record one')) return pass()
      kept.resolve()
      return 'keep'
    }

    const first = sink()
    await first.recover(null)
    await first.write(record('record one'))
    const prepared = first.prepare(checkpoint(1)).catch((error: unknown) => error)
    await kept.promise
    await first.close('abort')
    expect(await prepared).toMatchObject({ code: 'ABORTED' })
    const second = sink()
    await second.recover(null)
    await commitTwo(second, begun, 1)
    await close()

    expect(await seen(topic)).toEqual(['record two', 'record three'])
    expect([...new Set(codes)]).toEqual([INVALID_PRODUCER_EPOCH])
  })

  test.each([1, 2])(
    'Weir, repeated and committed: the first copy is refused before Produce %i of the next',
    async (nth) => {
      const { topic, sink, close } = await sinks(`repeated-${nth}`)
      const { pass, begun, codes } = deliverBefore(nth)
      let copies = 0
      proxy.onProduce = (frame) => {
        if (!frame.includes('record one')) return pass()
        return copies++ === 0 ? 'keep' : 'pass'
      }

      const s = sink()
      await s.recover(null)
      await s.write(record('record one'))
      const [of] = (await s.prepare(checkpoint(1))).handles
      await s.commit(1)
      const [next] = (await commitTwo(s, begun, 2)).handles
      await close()

      expect(next!.transactionalId).toBe(of!.transactionalId)
      expect(copies).toBe(2)
      expect(await seen(topic)).toEqual(['record one', 'record two', 'record three'])
      expect(codes).toEqual([INVALID_PRODUCER_EPOCH])
    },
  )
})
