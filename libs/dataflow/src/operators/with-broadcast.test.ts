import { expect, test } from 'vitest'
import { BROADCAST_ENTRIES_MAX, type BroadcastDescriptor, type BroadcastState } from '../broadcast-state.ts'
import type { Out, StateDescriptors, TimerKinds } from '../keyed-state.ts'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'
import { WithBroadcast, withBroadcastOf, type BroadcastProcess } from './with-broadcast.ts'

const rates: BroadcastDescriptor<string, number> = { kind: 'broadcast' }

function opened<M extends TimerKinds>(
  process: BroadcastProcess<never, never, unknown, { rates: typeof rates }, StateDescriptors, M>,
  over: Partial<OperatorContext> = {},
) {
  const operator = new WithBroadcast({ uid, ...withBroadcastOf(process) })
  operator.open(contextOf(over))
  return { operator, out: new Catch() }
}
const exchange = {
  broadcast: { rates },
  onBroadcast(
    { broadcast }: { broadcast: { rates: BroadcastState<string, number> } },
    [currency, rate]: [string, number],
  ) {
    broadcast.rates.set(currency, rate)
    if (rate <= 0) throw new RangeError(`a rate of ${rate}`)
  },
  onRecord(
    { broadcast }: { broadcast: { rates: { get(key: string): number | undefined } } },
    currency: string,
    out: Out<unknown>,
  ) {
    out.emit(broadcast.rates.get(currency) ?? 'unknown')
  },
}

test('records see what was broadcast before them; a stream without keys stays without', () => {
  const { operator, out } = opened(exchange)
  operator.onBatch(batchOf([null, 'EUR', 1]), out)
  operator.onRight(batchOf([null, ['EUR', 2], 5]))
  operator.onBatch(batchOf([null, 'EUR', 3]), out)
  operator.onBatch(batchOf(['ada', 'EUR', 4]), out)
  expect(out.seen).toEqual([
    [null, 'unknown', 1],
    [null, 2, 3],
    ['ada', 2, 4],
  ])
})

test('each key group of the subtask has a whole copy, so whoever gets one of them has all', () => {
  const state = new MemoryKeyedStates()
  const before = opened(exchange, { state, maxParallelism: 8 })
  before.operator.onRight(batchOf([null, ['EUR', 2], 1], [null, ['USD', 3], 2], [null, ['EUR', 4], 3]))
  for (let subtask = 0; subtask < 8; subtask++) {
    const { operator, out } = opened(exchange, { state, maxParallelism: 8, parallelism: 8, subtask: subtask as never })
    operator.onBatch(batchOf([null, 'EUR', 1], [null, 'USD', 1]), out)
    expect(out.seen.map((seen) => seen[1])).toEqual([4, 3])
  }
})

test('a broadcast record that fails changes nothing, and is refused by one subtask alone', () => {
  const refused: unknown[] = []
  const all = [0, 1].map((subtask) =>
    opened(exchange, {
      subtask: subtask as never,
      parallelism: 2,
      refuse: (_batch, i, error) => void refused.push([subtask, i, error.code]),
    }),
  )
  for (const { operator, out } of all) {
    operator.onRight(batchOf([null, ['EUR', 2], 1], [null, ['EUR', 0], 2], [null, ['USD', -1], 3]))
    operator.onBatch(batchOf([null, 'EUR', 4], [null, 'USD', 4]), out)
    expect(out.seen.map((seen) => seen[1])).toEqual([2, 'unknown'])
  }
  expect(refused).toEqual([
    [0, 1, 'OPERATOR_FAILED'],
    [0, 2, 'OPERATOR_FAILED'],
  ])
})

test('without dead letters it stops every subtask', () => {
  const { operator } = opened(exchange, { subtask: 1 as never, parallelism: 2 })
  expect(thrown(() => operator.onRight(batchOf([null, ['EUR', 0], 2])))).toMatchObject({ code: 'OPERATOR_FAILED' })
})

test('maps are changed in onBroadcast only, hold values only, and are bounded', () => {
  const sly = opened({
    ...exchange,
    onRecord: ({ broadcast }, _value) => void (broadcast.rates as BroadcastState<string, number>).set('EUR', 1),
  })
  expect(thrown(() => sly.operator.onBatch(batchOf([null, 'EUR', 1]), sly.out))).toMatchObject({
    ...{ code: 'BROADCAST_READ_ONLY', kind: 'invalid', facts: { operatorUid: uid, state: 'rates' } },
  })
  const { operator } = opened(exchange)
  for (const value of [undefined, Promise.resolve(1)])
    expect(thrown(() => operator.onRight(batchOf([null, ['EUR', value], 1])))).toMatchObject({
      code: 'OPERATOR_FAILED',
    })
  const rows = Array.from({ length: BROADCAST_ENTRIES_MAX }, (_, i) => [null, [`c${i}`, 1], 1] as const)
  operator.onRight(batchOf(...rows))
  expect(thrown(() => operator.onRight(batchOf([null, ['one more', 1], 1])))).toMatchObject({
    code: 'BROADCAST_TOO_LARGE',
  })
})
