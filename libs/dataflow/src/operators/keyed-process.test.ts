import { WATERMARK_MAX, type Key, type WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import type {
  KeyedProcess,
  ListDescriptor,
  MapDescriptor,
  None,
  Out,
  StateDescriptors,
  TimerKinds,
  Ttl,
  ValueDescriptor,
} from '../keyed-state.ts'
import { MemoryKeyedState, MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import type { KeyedState } from '../ports.ts'
import { statesOf } from '../state-schema.ts'
import { keyedProcess, keyedProcessOf, keyBy, run } from '../transform.ts'
import { Catch, batchOf, contextOf, thrown, uid, type Row } from './fixture.ts'
import { CLEAN_UP_ROWS_MAX, KeyedProcessOperator, PROCESSING_TIMERS_AT_ONCE } from './keyed-process.ts'

const value = <T>(ttl: Ttl | null = null): ValueDescriptor<T> => ({ kind: 'value', ttl, initial: undefined })
const initially = <T>(initial: T): ValueDescriptor<T, T> => ({ kind: 'value', ttl: null, initial })
const list: ListDescriptor<number> = { kind: 'list', ttl: null }
const map: MapDescriptor<string, number> = { kind: 'map', ttl: null }
const write = (ms: number): Ttl => ({ ms, update: 'write' })

function opened<S extends StateDescriptors, M extends TimerKinds>(
  process: KeyedProcess<never, unknown, S, M>,
  over: Partial<OperatorContext> = {},
) {
  const operator = new KeyedProcessOperator({ uid, ...keyedProcessOf(process) })
  operator.open(contextOf(over))
  return { operator, out: new Catch() }
}

test('state of a key is its own; what is emitted has the key and time of its record, or the time it names', () => {
  const { operator, out } = opened({
    state: { last: initially('none') },
    onRecord({ state, key }, value: string, out: Out<unknown>) {
      out.emit(`${key}: ${state.last.get()} → ${value}`)
      out.emit('later', 99)
      state.last.set(value)
    },
  })
  operator.onBatch(batchOf(['ada', 'a', 5], ['bob', 'b', 6], ['ada', 'c', 7]), out)
  expect(out.seen.filter(([, what]) => what !== 'later')).toEqual([
    ['ada', 'ada: none → a', 5],
    ['bob', 'bob: none → b', 6],
    ['ada', 'ada: a → c', 7],
  ])
  expect(out.seen).toContainEqual(['bob', 'later', 99])
})

const alarms = {
  timers: { alarm: 'event', other: 'event' },
  onRecord({ timers }, [set, times]: ['set' | 'delete', number[]]) {
    for (const at of times) timers.alarm[set](at)
    if (times.includes(30)) timers.other[set](30)
  },
  onTimer({ key, timestamp }, { name, kind, time }, out: Out<unknown>) {
    out.emit(`${key} ${name} ${kind} ${time} ${timestamp}`)
  },
} satisfies KeyedProcess<['set' | 'delete', number[]], unknown, None, { alarm: 'event'; other: 'event' }>

test('event timers fire once per key, time and name, by time, when the watermark is there, before it goes on', () => {
  const { operator, out } = opened(alarms)
  operator.onBatch(
    batchOf(['b', ['set', [30, 10]], 1], ['a', ['set', [30, 20, 20]], 2], ['a', ['set', [20, 40]], 3]),
    out,
  )
  operator.onWatermark(9, out)
  operator.onWatermark(30, out)
  expect(out.seen).toEqual([
    'watermark 9',
    ['b', 'b alarm event 10 10', 10],
    ['a', 'a alarm event 20 20', 20],
    ['a', 'a alarm event 30 30', 30],
    ['a', 'a other event 30 30', 30],
    ['b', 'b alarm event 30 30', 30],
    ['b', 'b other event 30 30', 30],
    'watermark 30',
  ])
})

test('many event timers fire in parts, whether they put out something or not, and the watermark waits for the last one', () => {
  const timersOf = (operator: KeyedProcessOperator, out: Catch): void => {
    const rows = Array.from({ length: 2_500 }, (_, i): Row => [i, ['set', [10]], 1])
    operator.onBatch(batchOf(...rows, ['later', ['set', [11]], 1]), out)
  }
  const loud = opened(alarms)
  timersOf(loud.operator, loud.out)
  loud.operator.onWatermark(10, loud.out)
  expect(loud.out.batches).toEqual([1_000])
  loud.operator.firing.fire(loud.out)
  expect(loud.out.seen).not.toContain('watermark 10')
  loud.operator.firing.fire(loud.out)
  expect(loud.out.batches).toEqual([1_000, 1_000, 500])
  expect(loud.out.seen.at(-1)).toBe('watermark 10')
  expect(loud.operator.firing.isPending).toBe(false)

  let fired = 0
  const still = opened({ ...alarms, onTimer: () => void fired++ })
  timersOf(still.operator, still.out)
  still.operator.onWatermark(10, still.out)
  expect(fired).toBe(1_000)
})

test('a deleted timer does not fire; set again, it fires once; timers are found again by the next attempt', () => {
  const state = new MemoryKeyedStates()
  const { operator, out } = opened(alarms, { state })
  operator.onBatch(
    batchOf(['a', ['set', [10, 20]], 1], ['a', ['delete', [10, 20, 50]], 1], ['a', ['set', [20]], 1]),
    out,
  )
  const next = opened(alarms, { state, watermark: 5 })
  next.operator.onWatermark(100, next.out)
  expect(next.out.seen).toEqual([['a', 'a alarm event 20 20', 20], 'watermark 100'])
})

test('set and deleted for every record, timers do not heap up', () => {
  const rows = new (class extends MemoryKeyedState<unknown> {
    looks = 0
    override get(key: Key, namespace?: number): unknown {
      this.looks++
      return super.get(key, namespace)
    }
  })()
  const { operator, out } = opened(alarms, { state: { keyed: () => rows as KeyedState<never> } })
  for (let i = 0; i < 20_000; i++) {
    operator.onBatch(batchOf(['a', ['set', [1_000_000 + i]], i], ['a', ['delete', [1_000_000 + i]], i]), out)
  }
  operator.onBatch(batchOf(['a', ['set', [2_000_000]], 1]), out)
  rows.looks = 0
  operator.onWatermark(3_000_000, out)
  expect(rows.looks).toBeLessThan(2_000)
  expect(out.seen).toHaveLength(2)
})

test('the end of the input runs time on to the last timer, and a timer that sets itself again does not hold it', () => {
  const fired: number[] = []
  const { operator, out } = opened({
    timers: { tick: 'event' },
    onRecord: ({ timers }, at: number) => timers.tick.set(at),
    onTimer({ timers }, { time }) {
      fired.push(time)
      timers.tick.set(time + 10)
    },
  })
  operator.onBatch(batchOf(['a', 5, 1], ['b', 27, 1]), out)
  operator.onWatermark(WATERMARK_MAX, out)
  expect(fired).toEqual([5, 15, 25, 27])
})

test('an event timer that sets one not later than itself is refused', () => {
  const { operator, out } = opened({
    timers: { tick: 'event' },
    onRecord: ({ timers }, at: number) => timers.tick.set(at),
    onTimer: ({ timers }, { time }) => timers.tick.set(time),
  })
  operator.onBatch(batchOf(['a', 5, 1]), out)
  expect(thrown(() => operator.onWatermark(5, out))).toMatchObject({ code: 'TIMER_NOT_LATER', kind: 'invalid' })
})

test('processing timers fire when the clock is there, a bounded number at once, and not behind the end', () => {
  let now = 1_000
  const { operator, out } = opened(
    {
      timers: { later: 'processing' },
      onRecord: ({ timers }, inMs: number) => timers.later.set(timers.later.now() + inMs),
      onTimer: (_, { time }, out: Out<unknown>) => out.emit(time),
    },
    { clock: { now: () => now } },
  )
  const many = PROCESSING_TIMERS_AT_ONCE + 5
  operator.onBatch(batchOf(...Array.from({ length: many }, (_, i) => [i, 50, 7] as const)), out)
  operator.onWatermark(7, out)
  expect(operator.processing!.nextMs).toBe(1_050)
  operator.processing!.fire(out)
  expect(out.seen).toEqual(['watermark 7'])
  now = 1_050
  operator.processing!.fire(out)
  expect(out.seen).toHaveLength(1 + PROCESSING_TIMERS_AT_ONCE)
  expect(out.seen[1]).toEqual([0, 1_050, 7])
  operator.onEnd()
  operator.processing!.fire(out)
  expect(out.seen).toHaveLength(1 + PROCESSING_TIMERS_AT_ONCE)
})

test('a record and a timer that fail leave no state, no timer and no output; the timer does not come again', () => {
  const refused: [unknown, WeirError][] = []
  const { operator, out } = opened(
    {
      state: { sum: initially(0), list, map },
      timers: { t: 'event' },
      onRecord({ state, timers, timestamp }, v: number, out: Out<unknown>) {
        const { sum, list, map } = state
        if (v < 0) map.delete('x')
        if (v < 0) list.clear()
        sum.set(sum.get() + v)
        list.add(v)
        map.set(v < 0 ? 'neg' : 'x', v)
        if (v < 0) timers.t.delete(40)
        timers.t.set(v < 0 ? 30 : 40)
        out.emit([sum.get(), list.get(), [...map], timestamp])
        if (v < 0) throw new RangeError('negative')
      },
      onTimer({ state }, { time }, out: Out<unknown>) {
        state.sum.set(100)
        out.emit(time)
        if (time === 40) throw new RangeError('at 40')
      },
    },
    { refuse: (batch, i, error) => void refused.push([batch.values[i], error]) },
  )
  operator.onBatch(batchOf(['a', 1, 1], ['a', -1, 2], ['a', 2, 3]), out)
  operator.onWatermark(50, out)
  operator.onBatch(batchOf(['a', 3, 60]), out)
  expect(out.seen).toEqual([
    ['a', [1, [1], [['x', 1]], 1], 1],
    ['a', [3, [1, 2], [['x', 2]], 3], 3],
    'watermark 50',
    ['a', [6, [1, 2, 3], [['x', 3]], 60], 60],
  ])
  expect(refused.map(([what, { code }]) => [what, code])).toEqual([
    [-1, 'OPERATOR_FAILED'],
    [{ name: 't', kind: 'event', time: 40 }, 'OPERATOR_FAILED'],
  ])
})

test('origins of outputs are those of their records, refused ones taken out', () => {
  const { operator } = opened(
    {
      onRecord(_, n: number, out: Out<unknown>) {
        for (let i = 0; i < n; i++) out.emit(i)
        if (n === 3) throw new Error('three')
      },
    },
    { refuse: () => {} },
  )
  const batch = { ...batchOf(['a', 2, 1], ['a', 3, 2], ['a', 1, 3]) }
  const origins = { places: [0, 0, 0], offsets: [7, 8, 9], ordinals: null }
  let seen: unknown
  operator.onBatch({ ...batch, origins }, { emit: (b) => void (seen = b.origins), watermark: () => {} })
  expect(seen).toEqual({ places: [0, 0, 0], offsets: [7, 7, 9], ordinals: ['0', '1', '0'] })
})

test.each([
  ['a promise is returned', { onRecord: async () => {} }, 'OPERATOR_RETURNED_PROMISE'],
  [
    'a promise is emitted',
    { onRecord: (_: never, _v: never, out: Out<unknown>) => out.emit(Promise.resolve()) },
    'OPERATOR_RETURNED_PROMISE',
  ],
])('%s: the attempt fails', (_name, process, code) => {
  const { operator, out } = opened(process as KeyedProcess<never, unknown, None, None>)
  expect(thrown(() => operator.onBatch(batchOf(['a', 1, 1]), out))).toMatchObject({ code, kind: 'invalid' })
})

test('undefined is no value', () => {
  const { operator, out } = opened({ state: { v: value() }, onRecord: ({ state }) => state.v.set(undefined) })
  expect(thrown(() => operator.onBatch(batchOf(['a', 1, 1]), out)).message).toContain('to remove a value, clear it')
})

test('a stored value cannot be changed by accident', () => {
  const { operator, out } = opened(
    {
      state: { v: value<{ n: number }>() },
      onRecord({ state }, n: number) {
        const there = state.v.get()
        if (there === undefined) state.v.set({ n })
        else there.n += n
      },
    },
    { freeze: true },
  )
  operator.onBatch(batchOf(['a', 1, 1]), out)
  expect(thrown(() => operator.onBatch(batchOf(['a', 1, 1]), out)).message).toContain('read only')
})

// ---- TTL ------------------------------------------------------------------------------------------------------------

const seenAt = (ttl: Ttl) =>
  ({
    state: { v: value<number>(ttl) },
    onRecord({ state }, what: 'set' | 'get', out: Out<unknown>) {
      if (what === 'set') state.v.set(1)
      else out.emit(state.v.get() ?? 'gone')
    },
  }) satisfies KeyedProcess<'set' | 'get', unknown, { v: ValueDescriptor<number> }, None>

test('a value is gone its ttl after it was written, by the time of the record or the watermark', () => {
  const { operator, out } = opened(seenAt(write(10)))
  operator.onBatch(batchOf(['a', 'set', 100], ['a', 'get', 109], ['a', 'get', 110], ['a', 'get', 105]), out)
  operator.onWatermark(110, out)
  operator.onBatch(batchOf(['a', 'get', 105]), out)
  expect(out.seen.map((row) => row[1])).toEqual([1, 'gone', 1, 'a', 'gone'])
})

test('with read-and-write a read lets it live on', () => {
  const reads = batchOf(['a', 'set', 100], ['a', 'get', 109], ['a', 'get', 118], ['a', 'get', 128])
  const { operator, out } = opened(seenAt({ ms: 10, update: 'read-and-write' }))
  operator.onBatch(reads, out)
  expect(out.seen.map((row) => row[1])).toEqual([1, 1, 'gone'])
})

test('a timer sees the state of its own time, not of the watermark that fires it', () => {
  const { operator, out } = opened({
    state: { v: value<number>(write(10)) },
    timers: { t: 'event' },
    onRecord({ state, timers }, at: number) {
      state.v.set(1)
      timers.t.set(at)
    },
    onTimer({ state }, { time }, out: Out<unknown>) {
      out.emit(`${time}: ${state.v.get()}`)
    },
  })
  operator.onBatch(batchOf(['a', 109, 100], ['b', 110, 100]), out)
  operator.onWatermark(WATERMARK_MAX, out)
  expect(out.seen.slice(0, 2).map((row) => row[1])).toEqual(['109: 1', '110: undefined'])
})

test('expired rows are deleted behind the watermark, a bounded number at once', () => {
  const state = new MemoryKeyedStates()
  const { operator, out } = opened(seenAt(write(10)), { state })
  const rows = (): number => state.keyed<number>(uid, 'v').stale!(2, 10_000).length
  operator.onBatch(batchOf(...Array.from({ length: 300 }, (_, i) => [i, 'set', 100] as const)), out)
  operator.onWatermark(109, out)
  expect(rows()).toBe(300)
  operator.onWatermark(110, out)
  expect(rows()).toBe(300 - CLEAN_UP_ROWS_MAX)
  operator.onWatermark(111, out)
  expect(rows()).toBe(0)
  expect(state.keyed<number>(uid, 'v.touched').stale!(1_000, 10_000)).toEqual([])
})

test('a transform with state and timers is tested without an engine', () => {
  const sessions = keyBy((v: { user: string; at: number }) => v.user).andThen(
    keyedProcess('sessions', {
      state: { count: initially(0) },
      timers: { close: 'event', nudge: 'processing' },
      onRecord({ state, timers, timestamp }, _value: { user: string; at: number }) {
        state.count.set(state.count.get() + 1)
        timers.close.set(timestamp + 30)
        timers.nudge.set(timers.nudge.now() + 5)
      },
      onTimer({ state, key }, timer, out: Out<string>) {
        out.emit(`${key} ${timer.name} ${state.count.get()}`)
      },
    }),
  )
  const inputs = [1, 2, 10, 50].map((at) => ({ user: 'ada', at }))
  expect(run(sessions, inputs, { timestamp: ({ at }) => at })).toEqual([
    'ada nudge 2',
    'ada nudge 2',
    'ada nudge 3',
    'ada close 4',
    'ada close 4',
    'ada close 4',
    'ada close 4',
  ])
})

test("the states a plan names are those its operator has: kinds share no row's name, so one that changes is missed", () => {
  const kinds = { value: value(write(1)), list: { ...list, ttl: write(1) }, map: { ...map, ttl: write(1) } }
  const names = Object.values(kinds).map((s) => {
    const node = { uid, ...keyedProcessOf({ state: { s }, timers: { t: 'event' }, onRecord: () => {} }) }
    const planned = statesOf(node).map(({ name }) => name)
    const used = new Set<string>()
    const state = new MemoryKeyedStates()
    const keyed: MemoryKeyedStates['keyed'] = (of, name) => {
      used.add(name)
      return state.keyed(of, name)
    }
    new KeyedProcessOperator(node).open(contextOf({ state: { keyed } }))
    expect([...used].sort()).toEqual([...planned].sort())
    return planned.filter((name) => !name.startsWith('@'))
  })
  expect(new Set(names.flat()).size).toBe(names.flat().length)
})
