/** What a topic would refuse goes aside before it is sent; what it takes is written, however it is batched (PROTOCOL B7). */
import { KnownPoison, NO_POISON, learned, type SinkAsides, type SinkOrigin } from '@weir/dataflow'
import { contextOf } from '@weir/dataflow/testing'
import { attempt, epoch, generation, type WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSink, KafkaTopics } from './index.ts'
import { settled } from './testing/settled.ts'

const { kafka, admin, run, createTopics } = testKafka()
const { signal } = new AbortController()

test('too large, without a key, too far in the future or the past: refused one by one, and the rest is written', async () => {
  const topic = `limits-${run}`
  const configs = {
    'max.message.bytes': '2000',
    'cleanup.policy': 'compact',
    'message.timestamp.before.max.ms': '1000000',
    'message.timestamp.after.max.ms': '1000000',
  }
  await createTopics([topic], { configs })
  const refused: [unknown, string][] = []
  const context = contextOf(topic, 'out', { signal })
  const sink = new KafkaSink(
    {
      ...{ topic, poolSize: 2, transactionTimeoutMs: 60_000 },
      encodeKey: (key) => (key === 'none' ? null : String(key)),
      encodeValue: String,
      asides: {
        topics: [],
        known: null,
        audit: null,
        refuse: ({ values }, i, error) => void refused.push([values[i], error.code]),
      },
    },
    { context, kafka, clock: systemClock, staged: null },
  )
  await sink.recover(null)
  const now = Date.now()
  const small = Array.from({ length: 50 }, (_, i) => `${i} ${'x'.repeat(100)}`)
  const rows: [key: string, value: string, timestamp: number][] = [
    ['k', 'ü'.repeat(1_000), now],
    ['none', 'a', now],
    ['k', 'b', now + 2_000_000],
    ['k', 'c', now - 2_000_000],
    ['k', 'y'.repeat(1_800), now],
    ...small.map((value): [string, string, number] => ['k', value, now]),
  ]
  await sink.write({ keys: rows.map((r) => r[0]), values: rows.map((r) => r[1]), timestamps: rows.map((r) => r[2]) })
  expect(refused).toEqual([
    ['ü'.repeat(1_000), 'RECORD_TOO_LARGE'],
    ['a', 'RECORD_WITHOUT_KEY'],
    ['b', 'RECORD_TIMESTAMP_REFUSED'],
    ['c', 'RECORD_TIMESTAMP_REFUSED'],
  ])
  await sink.prepare({ epoch: epoch(1), generation: generation(1), attempt: attempt(1) })
  await sink.commit(1)
  await settled(kafka, topic)
  const written: string[] = []
  const topics = new KafkaTopics({ kafka, clock: systemClock, signal })
  for await (const { value } of topics.read(topic)) written.push(Buffer.from(value!).toString())
  expect(written).toEqual(['y'.repeat(1_800), ...small])
  await sink.close('abort')
})

test('refused all the same: two restarts find the record, and it goes aside; nothing else is lost (B7)', async () => {
  const [topic, dead] = [`poison-${run}`, `poison-dead-${run}`]
  await createTopics([topic, dead])
  const told = async (name: string, bytes: number): Promise<void> => {
    const value = String(bytes)
    const entry = { name: 'max.message.bytes', value }
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name, configEntries: [entry] }] })
    const asked = { includeSynonyms: false, resources: [{ type: 2, name, configNames: [entry.name] }] }
    const now = async (): Promise<unknown> => (await admin.describeConfigs(asked)).resources[0]!.configEntries[0]
    await expect.poll(now).toMatchObject({ configValue: value })
  }
  let changes = 0
  /**
   * What nobody could know when the sink looked. A broker tells a configuration a moment before it goes by it; since it takes one change
   * after the other, it goes by this one when it tells the next.
   */
  const limit = async (bytes: number): Promise<void> => {
    await told(topic, bytes)
    await told(dead, 1_000_000 + ++changes)
  }
  const context = contextOf(topic, 'out', { signal })
  const options = { topic, poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const values = ['a', 'b', 'x'.repeat(50_000), 'c', 'd']
  const batch = {
    ...{ keys: values.map(() => 'k'), values, timestamps: values.map(() => Date.now()) },
    origins: { places: values.map(() => 0), offsets: [10, 11, 12, 13, 14], ordinals: null },
  }
  let poison = NO_POISON
  const refused: [unknown, string][] = []
  const sinkOf = (): KafkaSink => {
    const asides: SinkAsides = {
      ...{ topics: [dead], audit: null, known: new KnownPoison(context.operatorUid, poison) },
      refuse: (of, i, error) => void refused.push([of.values[i], error.code]),
    }
    return new KafkaSink({ ...options, asides }, { context, kafka, clock: systemClock, staged: null })
  }
  const tried = async (): Promise<KafkaSink> => {
    await limit(1_000_000)
    const sink = sinkOf()
    await sink.recover(null)
    await limit(10_000)
    await sink.write({ ...batch, values: [...values] })
    return sink
  }
  const checkpoint = { epoch: epoch(1), generation: generation(1), attempt: attempt(1) }
  const suspected: number[][] = []
  for (let i = 0; i < 2; i++) {
    const sink = await tried()
    const failure = (await sink.prepare(checkpoint).then(
      () => null,
      (error: unknown) => error,
    )) as WeirError
    expect(failure).toMatchObject({ code: 'RECORDS_REFUSED', kind: 'restart', facts: { error: 'MESSAGE_TOO_LARGE' } })
    poison = learned(poison, failure.toJSON())
    suspected.push((failure.facts['suspects'] as SinkOrigin[]).map((s) => s.offset))
    await sink.close('leave')
  }
  expect(suspected).toEqual([[10, 11, 12, 13, 14], [12]])
  expect(refused).toEqual([])
  const sink = await tried()
  expect(refused).toEqual([['x'.repeat(50_000), 'RECORD_REFUSED']])
  await sink.prepare(checkpoint)
  await sink.commit(1)
  await settled(kafka, topic)
  const written: string[] = []
  for await (const { value } of new KafkaTopics({ kafka, clock: systemClock, signal }).read(topic))
    written.push(Buffer.from(value!).toString())
  expect(written).toEqual(['a', 'b', 'c', 'd'])
  await sink.close('abort')
})
