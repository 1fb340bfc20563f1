import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { EMPTY_SINK_STATE, type StagedOutput } from '@weir/dataflow'
import { MemoryStagedOutput, contextOf } from '@weir/dataflow/testing'
import { describe, expect, test } from 'vitest'
import { brokersByProtocol } from '../../../test/stack/endpoints.ts'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaConnections } from './connections.ts'
import { KafkaSink } from './sink.ts'
import { KafkaSource } from './source.ts'
import { settled } from './testing/settled.ts'
import { listTransactions } from './wire/apis.ts'

describe.each(brokersByProtocol())('transactions %s', (protocol, broker) => {
  const { kafka, admin, run, createTopics, committed } = testKafka(broker)

  const cp = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
  const batch = (...records: [key: string, value: string][]) => ({
    keys: records.map(([k]) => k),
    values: records.map(([, v]) => v as unknown),
    timestamps: records.map(() => 1_700_000_000_000),
  })
  async function setUp(name: string, timeoutMs = 60_000) {
    const topic = `sink-${name}-${run}`
    await createTopics([topic], { partitions: 2 })
    const context = contextOf(`j-${name}-${run}`, 'out')
    const encode = (v: unknown): string => String(v)
    const options = { topic, poolSize: 2, transactionTimeoutMs: timeoutMs, encodeKey: encode, encodeValue: encode }
    const sink = (staged: StagedOutput | null = null, through = kafka): KafkaSink =>
      new KafkaSink(options, { context, kafka: through, clock: systemClock, staged })
    return { topic, context, sink }
  }
  const seen = async (topic: string): Promise<string[]> => (await committed(topic, '%k=%s', run)).sort()
  const openTransactions = async (job: string): Promise<number> =>
    (await kafka.anyBroker(listTransactions())).transactions.filter(
      (t) => t.transactionalId.includes(job) && t.state === 'Ongoing',
    ).length

  /** As `kafka`, but its first Produce is held back until another one has gone out, for so long at most, or until it is released. */
  const HELD_MS = 300
  function holdingTheFirstProduce(heldMs: number | null) {
    let sent = 0
    let leave = (): void => {}
    const left = new Promise<void>((resolve) => (leave = resolve))
    let release = (): void => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    let arrive: (errorCode: number) => void
    const arrived = new Promise<number>((resolve) => (arrive = resolve))
    const ask: KafkaConnections['ask'] = async (to, api, again) => {
      const first = api.apiName === 'Produce' && sent++ === 0
      if (first) {
        leave()
        if (heldMs !== null) setTimeout(release, heldMs)
        await released
      }
      const answer = await kafka.ask(to, api, again)
      if (first) arrive(answer.errorCode)
      else if (api.apiName === 'Produce') release()
      return answer
    }
    const holding = new Proxy(kafka, {
      get(target, name) {
        if (name === 'ask') return ask
        const member = target[name as keyof KafkaConnections]
        return typeof member === 'function' ? (member as () => unknown).bind(target) : member
      },
    })
    /** `left`: the first Produce is on its way. `arrived`: what the broker answered to it. `sent`: Produce requests. */
    return { kafka: holding, left, release, arrived, sent: () => sent }
  }

  test('A15: what follows in a partition stays behind, also when the transaction before is slow to arrive', async () => {
    const { topic, sink } = await setUp('order')
    const s = sink(null, holdingTheFirstProduce(HELD_MS).kafka)
    await s.recover(null)
    await s.write(batch(['a', '1']))
    const first = s.prepare(cp(1))
    await s.write(batch(['a', '2']))
    const second = s.prepare(cp(2))
    await Promise.all([first, second])
    await s.commit(2)
    expect(await committed(topic, '%s', run)).toEqual(['1', '2'])
    await s.close('abort')
  })

  test('the brokers tell which protocol they speak', async () => {
    expect(await kafka.transactionProtocol()).toBe(protocol)
  })

  test('a closed sink sends nothing more, and what it had sent before opens nothing when it arrives at last', async () => {
    const { topic, sink, context } = await setUp('closed')
    const held = holdingTheFirstProduce(null)
    const s = sink(null, held.kafka)
    await s.recover(null)
    await s.write(batch(['a', '1']))
    void s.prepare(cp(1)).catch(() => undefined)
    await s.write(batch(['a', '2'])) // waits for the first
    await held.left
    await s.close('abort')
    held.release()
    expect(await held.arrived).not.toBe(0)
    expect(held.sent()).toBe(1)
    expect(await openTransactions(context.jobId)).toBe(0)
    expect(await seen(topic)).toEqual([])
  })

  test('records are invisible until their sequence is committed, and then exactly once visible', async () => {
    const { topic, sink } = await setUp('basic')
    const s = sink()
    await s.recover(null)
    await s.write(batch(['a', '1'], ['b', '2']))
    const state = await s.prepare(cp(1))
    expect(state).toMatchObject({ sequence: 1, handles: [{ sequence: 1, records: 2 }] })
    await s.write(batch(['a', '3']))
    expect(await seen(topic)).toEqual([])
    await s.commit(1)
    expect(await seen(topic)).toEqual(['a=1', 'b=2'])
    await s.close('abort')
    expect(await seen(topic)).toEqual(['a=1', 'b=2'])
  })

  test('an epoch without output has no handle', async () => {
    const s = (await setUp('empty')).sink()
    await s.recover(null)
    expect(await s.prepare(cp(1))).toEqual(EMPTY_SINK_STATE)
  })

  test('A2: handles of a given-up epoch travel on and are committed in order', async () => {
    const { topic, sink } = await setUp('carry')
    const s = sink()
    await s.recover(null)
    await s.write(batch(['a', '1']))
    await s.prepare(cp(1))
    await s.write(batch(['a', '2']))
    const state = await s.prepare(cp(2))
    expect(state.handles.map((h) => h.sequence)).toEqual([1, 2])
    await s.commit(2)
    expect(await seen(topic)).toEqual(['a=1', 'a=2'])
  })

  test('C6: a sequence that was not prepared is refused', async () => {
    const s = (await setUp('c6')).sink()
    await s.recover(null)
    await expect(s.commit(1)).rejects.toMatchObject({ code: 'SEQUENCE_NOT_PREPARED' })
  })

  test('another process commits a stored handle, drops what was open, and fences the first one', async () => {
    const { topic, sink, context } = await setUp('resume')
    const first = sink()
    await first.recover(null)
    await first.write(batch(['a', '1']))
    const state = await first.prepare(cp(1))
    await first.write(batch(['a', 'open']))
    const second = sink()
    expect(await second.recover(state)).toEqual([{ sequence: 1, outcome: 'committed', by: 'end-txn' }])
    expect(await seen(topic)).toEqual(['a=1'])
    // The broker's refusal reaches it with the write or with the barrier, whichever comes first.
    const zombie = async (): Promise<void> => {
      await first.write(batch(['a', 'zombie']))
      await first.prepare(cp(2))
    }
    await expect(zombie()).rejects.toMatchObject({ kind: expect.stringMatching(/fenced|restart/) as string })
    expect(await openTransactions(context.jobId)).toBe(0)
    // Recovering once more is harmless: the log proves the commit, since the id was re-initialised.
    expect(await sink().recover(state)).toEqual([{ sequence: 1, outcome: 'committed', by: 'control-record' }])
    expect(await seen(topic)).toEqual(['a=1'])
  })

  const aborted = (transactionalId: string): Promise<void> =>
    expect
      .poll(
        async () => {
          const { transactions } = await kafka.anyBroker(listTransactions())
          return transactions.find((t) => t.transactionalId === transactionalId)?.state
        },
        { timeout: 15_000 },
      )
      .toBe('CompleteAbort')

  test('an expired transaction is proven LOST by the log and stops the job with the facts', async () => {
    const { topic, sink } = await setUp('lost', 1_000)
    const s = sink()
    await s.recover(null)
    await s.write(batch(['a', '1'], ['b', '2']))
    const state = await s.prepare(cp(1))
    await aborted(state.handles[0]!.transactionalId)
    await expect(sink().recover(state)).rejects.toMatchObject({
      code: 'TRANSACTION_LOST',
      facts: { sequence: 1, records: 2 },
    })
    expect(await seen(topic)).toEqual([])
  })

  /** As if retention had eaten everything. */
  async function deleted(topic: string, ...partitions: number[]): Promise<void> {
    await admin.fetchTopicOffsets(topic) // kafkajs finds leaders only of topics it has asked for
    await admin.deleteTopicRecords({ topic, partitions: partitions.map((partition) => ({ partition, offset: '-1' })) })
  }

  test('a log truncated below the first offsets: the marker alone proves, in both directions', async () => {
    const { topic, sink } = await setUp('truncated', 1_000)
    const staged = new MemoryStagedOutput()
    const s = sink(staged)
    await s.recover(null)
    await s.write(batch(['a', '1'], ['b', '2']))
    const state = await s.prepare(cp(1))
    await aborted(state.handles[0]!.transactionalId)
    const truncate = (): Promise<void> => deleted(topic, 0, 1)
    await settled(kafka, run)
    await truncate()
    expect(await sink(staged).recover(state)).toEqual([{ sequence: 1, outcome: 'committed', by: 'heal' }])
    expect(await seen(topic)).toEqual(['a=1', 'b=2'])
    await truncate()
    expect(await sink(staged).recover(state)).toEqual([{ sequence: 1, outcome: 'committed', by: 'marker' }])
    expect(await seen(topic)).toEqual([])
  })

  test('a log truncated in one partition: the other one still answers', async () => {
    const { topic, sink } = await setUp('half')
    const s = sink()
    await s.recover(null)
    await s.write(batch(['a', '1'], ['b', '2'], ['c', '3'], ['d', '4'], ['e', '5']))
    const state = await s.prepare(cp(1))
    expect(Object.keys(state.handles[0]!.firstOffsets)).toHaveLength(2)
    await s.commit(1)
    await settled(kafka, run)
    const [first] = Object.keys(state.handles[0]!.firstOffsets)
    const partition = Number(first!.slice(first!.lastIndexOf('-') + 1))
    await deleted(topic, partition)
    await sink().recover({ sequence: 1, handles: [] })
    expect(await sink().recover(state)).toEqual([{ sequence: 1, outcome: 'committed', by: 'control-record' }])
  })

  test('A10: a marker above the restored sequence is an epoch regression', async () => {
    const { sink } = await setUp('regression')
    const s = sink()
    await s.recover(null)
    await s.write(batch(['a', '1']))
    await s.prepare(cp(1))
    await s.commit(1)
    await expect(sink().recover(null)).rejects.toMatchObject({
      code: 'EPOCH_REGRESSION',
      facts: { marker: 1, restored: 0 },
    })
  })

  test('B3: with the pool exhausted a write waits until a commit frees an id', async () => {
    const { topic, sink } = await setUp('pool')
    const s = sink()
    await s.recover(null)
    for (const n of [1, 2]) {
      await s.write(batch(['a', `${n}`]))
      await s.prepare(cp(n))
    }
    const waiting = s.write(batch(['a', '3']))!
    await s.commit(1)
    await waiting
    const state = await s.prepare(cp(3))
    await s.commit(state.sequence)
    expect(await seen(topic)).toEqual(['a=1', 'a=2', 'a=3'])
  })

  test('the source reads committed records only, ends at the captured offset and goes on exactly where it stopped', async () => {
    const { topic, sink, context } = await setUp('source')
    const s = sink()
    await s.recover(null)
    await s.write(batch(...Array.from({ length: 500 }, (_, i): [string, string] => [`k${i}`, `v${i}`])))
    await s.prepare(cp(1))
    await s.commit(1)
    await s.write(batch(['x', 'aborted']))
    await s.close('abort')
    const source = () =>
      new KafkaSource(
        { topic, startFrom: 'earliest', until: 'latest', isolation: 'read_committed' },
        { context, kafka, clock: systemClock },
      )
    const values: string[] = []
    let reader = source()
    await reader.open(null)
    for (let polls = 0; polls < 10_000; polls++) {
      const polled = await reader.poll(7)
      if (polled === 'end') break
      if (typeof polled === 'object' && polled.kind === 'raw') {
        const { raw } = polled
        for (let i = 0; i < raw.count; i++) values.push(raw.buffer.toString('utf8', raw.valueStart[i], raw.valueEnd[i]))
      }
      if (polls % 5 === 4) {
        const state = reader.snapshot()
        await reader.close()
        reader = source()
        await reader.open(state)
      }
    }
    await reader.close()
    expect(values.sort()).toEqual(Array.from({ length: 500 }, (_, i) => `v${i}`).sort())
  })

  test('an unknown topic and an absent broker are coded errors', async () => {
    const { context } = await setUp('errors')
    const options = {
      topic: `nowhere-${run}`,
      startFrom: 'earliest',
      until: 'none',
      isolation: 'read_committed',
    } as const
    await expect(new KafkaSource(options, { context, kafka, clock: systemClock }).open(null)).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC',
      kind: 'invalid',
    })
    const nobody = new KafkaConnections({ brokers: ['127.0.0.1:1'], clientId: 'x' }, { clock: systemClock })
    await expect(
      new KafkaSource(options, { context, kafka: nobody, clock: systemClock }).open(null),
    ).rejects.toMatchObject({ code: 'KAFKA_UNAVAILABLE' })
  })
})
