import { WeirError, type RecordBatch } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import type { AsyncMapNode } from '../graph.ts'
import { AsyncMap, type CallContext } from './async-map.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

interface Open {
  readonly value: unknown
  readonly context: CallContext
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

function calling(over: Partial<AsyncMapNode> = {}, context: Parameters<typeof contextOf>[0] = {}) {
  const clock = new ManualClock()
  const open: Open[] = []
  const call: AsyncMapNode['call'] = (value, of) =>
    new Promise((resolve, reject) => void open.push({ value, context: of, resolve, reject }))
  const operator = new AsyncMap({
    ...{ uid, call, mode: 'ordered', capacity: 10, timeoutMs: 1_000, retries: 2, backoffMs: 100, backoffMsMax: 150 },
    ...{ retryIf: null, onFailure: 'dead-letter', ...over },
  })
  const attempt = new AbortController()
  let woken = 0
  let held = false
  const after = clock.after.bind(clock)
  operator.open(
    contextOf({ calls: { after, signal: attempt.signal, ready: () => woken++, isHeld: () => held }, ...context }),
  )
  const out = new Catch()
  return {
    ...{ operator, clock, open, out, attempt },
    hold: (is: boolean) => void (held = is),
    wakings: () => woken,
    /** What has come back, once the promises have been heard. */
    async emitted() {
      await new Promise((resolve) => setImmediate(resolve))
      operator.calls.emit(out)
      return out.seen
    },
  }
}
const refusing = () => {
  const refused: [unknown, WeirError][] = []
  const refuse = (batch: RecordBatch, i: number, error: WeirError): void => void refused.push([batch.values[i], error])
  return { refused, refuse }
}

test('key, event time and origin stay with the value, and a watermark waits behind its record', async () => {
  const { operator, open, emitted, out, wakings } = calling(
    {},
    { origins: () => ({ source: uid, topic: 'orders', partition: 3 }) },
  )
  const origins = { places: [3], offsets: [1_042], ordinals: ['2'] }
  operator.onBatch({ ...batchOf(['ada', 'a', 10]), origins })
  operator.onWatermark(10, out)
  expect(open[0]!.context).toMatchObject({
    ...{ key: 'ada', timestamp: 10, attempt: 1 },
    origin: { source: 'op', topic: 'orders', partition: 3, offset: 1_042, ordinal: '2', id: 'orders/3/1042#2' },
  })
  expect(await emitted()).toEqual([])
  expect([operator.calls.isEmpty, wakings()]).toEqual([false, 0])
  open[0]!.resolve('A')
  expect(await emitted()).toEqual([['ada', 'A', 10], 'watermark 10'])
  expect([operator.calls.isEmpty, wakings()]).toEqual([true, 1])
  operator.onWatermark(20, out)
  expect(out.seen.at(-1)).toBe('watermark 20')
})

test('while a firing holds it up behind a watermark, nothing is handed on', async () => {
  const { operator, open, emitted, out, hold } = calling()
  const { watermark } = out
  out.watermark = (timestamp) => {
    watermark.call(out, timestamp)
    hold(true)
  }
  operator.onBatch(batchOf(['ada', 'a', 10]))
  operator.onWatermark(10, out)
  operator.onBatch(batchOf(['ada', 'b', 20]))
  for (const { resolve, value } of open) resolve(value)
  expect(await emitted()).toEqual([['ada', 'a', 10], 'watermark 10'])
  expect(await emitted()).toHaveLength(2)
  hold(false)
  expect(await emitted()).toEqual([['ada', 'a', 10], 'watermark 10', ['ada', 'b', 20]])
})

test('a call that is no promise has come back already', async () => {
  const { operator, emitted } = calling({ call: (v) => (v as number) + 1 })
  operator.onBatch(batchOf([null, 1, 10], [null, 2, 20]))
  expect(await emitted()).toEqual([
    [null, 2, 10],
    [null, 3, 20],
  ])
})

test('a try that fails is made again behind a pause that doubles up to its bound, then the record is refused', async () => {
  const { refuse, refused } = refusing()
  const { operator, clock, open, emitted } = calling({}, { refuse })
  operator.onBatch(batchOf([null, 'a', 10], [null, 'b', 20]))
  for (const pauseMs of [100, 150]) {
    open.at(open.length === 2 ? 0 : -1)!.reject(new RangeError('away'))
    await emitted()
    const tries = open.length
    clock.advance(pauseMs - 1)
    expect(open).toHaveLength(tries)
    clock.advance(1)
    expect(open).toHaveLength(tries + 1)
  }
  expect(open.map(({ value, context }) => [value, context.attempt])).toEqual([
    ['a', 1],
    ['b', 1],
    ['a', 2],
    ['a', 3],
  ])
  open[1]!.resolve('B')
  open[3]!.reject(new RangeError('still away'))
  expect(await emitted()).toEqual([[null, 'B', 20]])
  expect(refused).toMatchObject([
    ['a', { code: 'OPERATOR_FAILED', kind: 'invalid', facts: { operatorUid: 'op', cause: 'RangeError: still away' } }],
  ])
})

test('an error that would come again is not tried again', async () => {
  const { refuse, refused } = refusing()
  const { operator, open, emitted } = calling({ retryIf: (error) => !(error instanceof TypeError) }, { refuse })
  operator.onBatch(batchOf([null, 'a', 10]))
  open[0]!.reject(new TypeError('no such currency'))
  await emitted()
  expect(refused).toHaveLength(1)
})

test('a try ends by its timeout, whatever the function does; what comes back behind it counts for nothing', async () => {
  const { refuse, refused } = refusing()
  const { operator, clock, open, emitted } = calling({ retries: 1 }, { refuse })
  operator.onBatch(batchOf([null, 'a', 10]))
  clock.advance(1_000)
  expect(open[0]!.context.signal.aborted).toBe(true)
  open[0]!.resolve('too late')
  expect(await emitted()).toEqual([])
  clock.advance(100)
  clock.advance(1_000)
  expect(await emitted()).toEqual([])
  expect(refused).toMatchObject([['a', { code: 'CALL_TIMED_OUT', facts: { timeoutMs: 1_000, attempt: 2 } }]])
  expect(operator.calls.isEmpty).toBe(true)
})

test.each([
  ['without dead letters', {}, undefined],
  ['where it is asked for', { onFailure: 'restart' } as const, refusing()],
])('%s a failure restarts the attempt: whether it comes again nobody knows', async (_, over, aside) => {
  const { refuse } = aside ?? {}
  const throwing = (_batch: RecordBatch, _i: number, error: WeirError): void => {
    throw error
  }
  const { operator, open } = calling({ retries: 0, ...over }, refuse ? { refuse: throwing } : {})
  operator.onBatch(batchOf([null, 'a', 10]))
  open[0]!.reject(new Error('away'))
  await new Promise((resolve) => setImmediate(resolve))
  expect(thrown(() => operator.calls.emit(new Catch()))).toMatchObject({ code: 'OPERATOR_FAILED', kind: 'restart' })
})

test('with the attempt every call ends, and nothing comes of it or is tried again', async () => {
  const { operator, clock, open, emitted, attempt, wakings } = calling()
  operator.onBatch(batchOf([null, 'a', 10], [null, 'b', 20]))
  open[0]!.reject(new Error('away')) // waits for its next try
  await emitted()
  attempt.abort(new Error('over'))
  expect(open[1]!.context.signal.aborted).toBe(true)
  open[1]!.reject(open[1]!.context.signal.reason)
  clock.advance(10_000)
  expect(await emitted()).toEqual([])
  expect([open.length, wakings()]).toEqual([2, 0])
})

test('records wait for room, and say so', async () => {
  const { operator, open, emitted } = calling({ capacity: 2 })
  operator.onBatch(batchOf([null, 'a', 1], [null, 'b', 2], [null, 'c', 3]))
  expect([open.length, operator.calls.isFull]).toEqual([2, true])
  open[0]!.resolve('A')
  await emitted()
  expect([open.length, operator.calls.isFull]).toEqual([3, false])
})
