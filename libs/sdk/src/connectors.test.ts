import { planJob } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import { z } from 'zod'
import {
  datagen,
  job,
  json,
  kafka,
  log,
  stateSchema,
  tumbling,
  type ExecuteContext,
  type ResumableOperator,
  type Schema,
} from './index.ts'

const code = (expected: string): unknown => expect.objectContaining({ code: expected, kind: 'invalid' })

test('the job of the design compiles and plans', () => {
  const Order = z.object({
    id: z.string(),
    user: z.string(),
    amountMinor: z.int(),
    status: z.enum(['PAID', 'FAILED']),
    ts: z.number(),
  })
  const settlement = job('settlement', (flow) => {
    const paid = flow
      .from(kafka.topic('orders', { value: json(Order), timestamp: (o) => o.ts, outOfOrderMs: 5_000 }))
      .filter((o) => o.status === 'PAID')

    const byUser = paid.keyBy((o) => o.user)
    byUser
      .reduce('balance', { sum: 0, count: 0 }, (acc, o) => ({ sum: acc.sum + o.amountMinor, count: acc.count + 1 }))
      .to(kafka.sink('balances'))
    byUser.window(tumbling('10s')).count().to(kafka.sink('counts'))
  })
  expect(planJob(settlement).summary.nodes[0]!.config).toMatchObject({ outOfOrderMs: 5_000, recordsPerSecond: null })
})

test('payments are a plain descriptor with every default written out', () => {
  const source = datagen.payments({ recordsPerSplit: 10, uid: 'payments' })
  expect(source.descriptor).toEqual({
    connector: 'datagen',
    generator: 'payments',
    splits: 4,
    recordsPerSplit: 10,
    users: 1_000,
    paidPercent: 80,
    startTs: 1_767_225_600_000,
    stepMs: 10,
    seed: 1,
  })
  expect(source.decode).toBeNull()
})

test.each([
  [{ splits: 0 }],
  [{ recordsPerSplit: 1.5 }],
  [{ users: Number.NaN }],
  [{ paidPercent: 101 }],
  [{ stepMs: -1 }],
])('payments with %j are refused by name', (options) => {
  expect(() => datagen.payments(options)).toThrow(
    expect.objectContaining({
      code: 'OPTION_INVALID',
      facts: expect.objectContaining({ option: Object.keys(options)[0] }) as unknown,
    }) as Error,
  )
})

test('the log takes the options of Kafka; one disorder given twice is refused', () => {
  expect(log.topic('t', { value: json(), until: 'latest' }).descriptor).toEqual({
    connector: 'log',
    topic: 't',
    startFrom: 'earliest',
    until: 'latest',
  })
  expect(() => log.topic('t', { value: json(), outOfOrder: '1s', outOfOrderMs: 1_000 })).toThrow(
    code('OPTION_INVALID') as Error,
  )
})

test('keys are text unless the sink says otherwise; no key stays no key', () => {
  const plain = kafka.sink('t')
  expect([plain.encodeKey('ada'), plain.encodeKey(7), plain.encodeKey(null)]).toEqual(['ada', '7', null])
  expect(kafka.sink('t', { key: (key) => `user:${String(key)}` }).encodeKey('ada')).toBe('user:ada')
})

test('lost output is healed unless the sink says fail; the choice is part of the graph', () => {
  for (const sink of [kafka.sink, log.sink]) {
    expect(sink('t').descriptor).not.toHaveProperty('onLost')
    expect(sink('t', { onLost: 'heal' }).descriptor).toEqual(sink('t').descriptor)
    expect(sink('t', { onLost: 'fail' }).descriptor).toMatchObject({ topic: 't', onLost: 'fail' })
    expect(() => sink('t', { onLost: 'ignore' as 'fail' })).toThrow(code('OPTION_INVALID') as Error)
  }
})

test('what JSON cannot hold is refused, and null is a tombstone', () => {
  const { encodeValue } = kafka.sink('t')
  expect([encodeValue({ a: 1 }), encodeValue(null)]).toEqual(['{"a":1}', null])
  for (const value of [undefined, 1n, () => 1]) expect(() => encodeValue(value)).toThrow(code('ENCODE_FAILED') as Error)
})

const decode = (bytes: Buffer, schema?: Schema<unknown>): unknown => json(schema).decode(bytes, 0, bytes.length)

test('bytes that are not UTF-8 are refused; a real U+FFFD in the text is not', () => {
  expect(() => decode(Buffer.from([0x22, 0xff, 0x22]))).toThrow(code('DECODE_FAILED') as Error)
  expect(decode(Buffer.from('"\ufffd"'))).toBe('\ufffd')
})

test('a schema that validates asynchronously is refused', () => {
  const slow = z.string().refine((s) => Promise.resolve(s.length > 0))
  let thrown: unknown
  try {
    decode(Buffer.from('"x"'), slow)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(WeirError)
  expect(thrown).toMatchObject({ code: 'DECODE_FAILED', message: expect.stringContaining('asynchronously') as string })
})

test('outOfRange: fail is the default and not in the descriptor; another word is refused', () => {
  const of = (outOfRange?: 'fail' | 'earliest' | 'latest') =>
    kafka.topic('orders', { value: json(), outOfRange }).descriptor['outOfRange']
  expect([of(), of('fail'), of('earliest'), of('latest')]).toEqual([undefined, undefined, 'earliest', 'latest'])
  expect(() => of('none' as 'fail')).toThrow(code('OPTION_INVALID'))
})

test('process takes a custom operator, its types flow, and its schema stands in the plan', () => {
  class Length implements ResumableOperator<string, number, number> {
    prepare(): void {}
    execute(text: string, { emit }: ExecuteContext<number>): void {
      emit(text.length)
    }
    snapshotState(): number[] {
      return []
    }
    restoreState(): void {}
  }
  const schema = stateSchema<number>('lengths')
  const lengths = job('lengths', (flow) => {
    flow
      .from(kafka.topic('texts', { value: json<string>() }))
      .process('length', () => new Length(), { schema })
      .map((n) => n * 2)
      .to(kafka.sink<number>('out'))
  })
  expect(planJob(lengths).summary.nodes[1]).toMatchObject({
    kind: 'resumable',
    states: [
      { name: 'operator', schema: { name: 'lengths', version: 1, since: 1 } },
      { name: 'operator.hooks', schema: null },
    ],
  })
  job('other', (flow) => {
    // @ts-expect-error the operator takes texts
    flow.from(kafka.topic('numbers', { value: json<number>() })).process('length', () => new Length())
  })
})
