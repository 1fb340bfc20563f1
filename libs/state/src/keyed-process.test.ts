/** State and timers of a process on the real store, against plain objects: snapshots, restarts, other parallelisms. */
import {
  KeyedProcessOperator,
  keyedProcessOf,
  refuseNone,
  type AggregatingDescriptor,
  type Collector,
  type KeyedContext,
  type KeyedProcess,
  type ListDescriptor,
  type MapDescriptor,
  type None,
  type Out,
  type SegmentRef,
  type StateDescriptors,
  type Ttl,
  type ValueDescriptor,
} from '@weir/dataflow'
import { keyGroupOf, keyGroupRange, operatorUid, ownerOf, subtask, type Key } from '@weir/model'
import fc from 'fast-check'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'
import { openSegment } from './segment-reader.ts'
import { PLUS, VALUE } from './segment.ts'
import type { LevelStateStore } from './store.ts'

const objects = new MemoryObjects()
const uid = operatorUid('p')

const TTL_MS = 20
const ttl = (update: Ttl['update']): Ttl => ({ ms: TTL_MS, update })
const value = <T>(): ValueDescriptor<T> => ({ kind: 'value', ttl: null, initial: undefined })
const states = {
  total: { kind: 'value', ttl: null, initial: 0 } as ValueDescriptor<number, number>,
  last: { kind: 'value', ttl: ttl('write'), initial: undefined } as ValueDescriptor<number>,
  recent: { kind: 'list', ttl: ttl('write') } as ListDescriptor<number>,
  log: { kind: 'list', ttl: null } as ListDescriptor<number>,
  seen: { kind: 'map', ttl: ttl('read-and-write') } as MapDescriptor<Key, number>,
  counts: { kind: 'map', ttl: null } as MapDescriptor<Key, number>,
  mean: {
    ...{ kind: 'aggregating', ttl: null, initial: { sum: 0, count: 0 } },
    add: ({ sum, count }, n) => ({ sum: sum + n, count: count + 1 }),
    result: ({ sum, count }) => sum / count,
  } as AggregatingDescriptor<number, { sum: number; count: number }, number>,
}
type States = typeof states
const timers = { alarm: 'event' } as const

type Action =
  | { do: 'total' | 'last' | 'recent' | 'log' | 'mean'; n: number }
  | { do: 'log-set'; values: number[] }
  | { do: 'log-keep' | 'recent-keep'; n: number }
  | { do: 'seen' | 'counts'; k: Key; n: number }
  | { do: 'seen-delete' | 'counts-delete'; k: Key }
  | { do: 'clear'; what: keyof States }
  | { do: 'alarm' | 'alarm-delete'; inMs: number }
  | { do: 'look' }
interface Input {
  readonly action: Action
  readonly fails: boolean
}

function act({ state, timers: { alarm }, timestamp }: KeyedContext<States, typeof timers>, action: Action): void {
  switch (action.do) {
    case 'total':
      return state.total.set(state.total.get() + action.n)
    case 'last':
      return state.last.set(action.n)
    case 'recent':
    case 'log':
      return state[action.do].add(action.n)
    case 'mean':
      return state.mean.add(action.n)
    case 'log-set':
      return state.log.set(action.values)
    case 'log-keep':
      return state.log.keepLast(action.n)
    case 'recent-keep':
      return state.recent.keepLast(action.n)
    case 'seen':
    case 'counts':
      return state[action.do].set(action.k, action.n)
    case 'seen-delete':
      return void state.seen.delete(action.k)
    case 'counts-delete':
      return void state.counts.delete(action.k)
    case 'clear':
      return state[action.what].clear()
    case 'alarm':
      return alarm.set(timestamp + action.inMs)
    case 'alarm-delete':
      return alarm.delete(timestamp + action.inMs)
    case 'look':
  }
}

const sorted = (entries: Iterable<readonly [Key, number]>): unknown[] =>
  [...entries].map((entry) => JSON.stringify(entry)).sort()

const everything = keyedProcessOf({
  state: states,
  timers,
  onRecord(context, { action, fails }: Input, out: Out<unknown>) {
    act(context, action)
    const { total, last, recent, log, seen, counts, mean } = context.state
    const size = action.do === 'look' ? [counts.size, seen.size] : []
    const lists = [recent.get(), [...log]]
    out.emit([total.get(), last.get(), ...lists, sorted(seen), sorted(counts), mean.get(), ...size])
    if (fails) throw new Error('asked to')
  },
  onTimer({ state }, { time }, out: Out<unknown>) {
    state.total.set(state.total.get() + 1_000)
    out.emit(`alarm ${time}: ${state.total.get()} ${String(state.last.get())}`)
  },
})

// ---- the model ------------------------------------------------------------------------------------------------------

interface Aged {
  n: number
  touched: number
}
interface Plain {
  total: number
  last: Aged | null
  recent: Aged[]
  log: number[]
  seen: Map<Key, Aged>
  counts: Map<Key, number>
  mean: number[]
  alarms: Set<number>
}
const nothing = (): Plain => ({
  ...{ total: 0, last: null, recent: [], log: [], seen: new Map(), counts: new Map(), mean: [], alarms: new Set() },
})

function actOn(plain: Plain, action: Action, now: number, timestamp: number): void {
  const alive = ({ touched }: Aged): boolean => now < touched + TTL_MS
  switch (action.do) {
    case 'total':
      return void (plain.total += action.n)
    case 'last':
      return void (plain.last = { n: action.n, touched: Math.max(now, plain.last?.touched ?? 0) })
    case 'recent':
      return void plain.recent.push({ n: action.n, touched: now })
    case 'log':
      return void plain.log.push(action.n)
    case 'mean':
      return void plain.mean.push(action.n)
    case 'log-set':
      return void (plain.log = action.values)
    case 'log-keep':
      return void (plain.log = action.n === 0 ? [] : plain.log.slice(-action.n))
    case 'recent-keep': {
      const living = plain.recent.filter(alive)
      const first = action.n >= living.length ? 0 : plain.recent.indexOf(living[living.length - action.n]!)
      return void (plain.recent = action.n === 0 ? [] : plain.recent.slice(first))
    }
    case 'seen':
      return void plain.seen.set(action.k, {
        n: action.n,
        touched: Math.max(now, plain.seen.get(action.k)?.touched ?? 0),
      })
    case 'counts':
      return void plain.counts.set(action.k, action.n)
    case 'seen-delete':
      return void plain.seen.delete(action.k)
    case 'counts-delete':
      return void plain.counts.delete(action.k)
    case 'clear':
      return void Object.assign(plain, { [action.what]: nothing()[action.what] })
    case 'alarm':
      return void plain.alarms.add(timestamp + action.inMs)
    case 'alarm-delete':
      return void plain.alarms.delete(timestamp + action.inMs)
    case 'look':
  }
}

function viewOf(plain: Plain, look: boolean, now: number): unknown {
  const { total, last, recent, log, seen, counts, mean } = plain
  const alive = ({ touched }: Aged): boolean => now < touched + TTL_MS
  const living = [...seen].filter(([, aged]) => alive(aged))
  for (const [, aged] of living) aged.touched = Math.max(now, aged.touched)
  const meanOf = mean.length === 0 ? undefined : mean.reduce((a, b) => a + b) / mean.length
  return [
    total,
    last !== null && alive(last) ? last.n : undefined,
    recent.filter(alive).map(({ n }) => n),
    log,
    sorted(living.map(([k, { n }]) => [k, n])),
    sorted(counts),
    meanOf,
    ...(look ? [counts.size, living.length] : []),
  ]
}

// ---- both, side by side ---------------------------------------------------------------------------------------------

class Instances {
  readonly #of: { store: LevelStateStore; operator: KeyedProcessOperator }[] = []
  readonly outputs: [Key, unknown][] = []
  readonly refused: unknown[] = []
  readonly #out: Collector = {
    emit: ({ keys, values }) => values.forEach((value, i) => this.outputs.push([keys![i]!, value])),
    watermark: () => {},
  }

  /** `chains`: of each subtask that wrote them. */
  static async open(parallelism: number, chains: readonly SegmentRef[][], watermark: number): Promise<Instances> {
    const made = new Instances()
    for (let i = 0; i < parallelism; i++) {
      const keyGroups = keyGroupRange(i, parallelism, 128)
      const pendingEntriesMin = watermark % 2 === 0 ? 0 : 20_000 // rows decoded on demand, or at once
      const writer = `${i}/${parallelism}`
      const store = await openStore(objects, { writer, keyGroups, chainLengthMax: 3, pendingEntriesMin })
      await store.restore(chains.length === parallelism ? chains[i]! : chains.flat())
      const operator = new KeyedProcessOperator({ uid, ...everything })
      operator.open({
        ...{ uid, subtask: subtask(i), parallelism, maxParallelism: 128, state: store, watermark, freeze: true },
        counters: { lateRecords: 0 },
        refuse: (_batch, _i, error) => void made.refused.push(error.code),
        clock: { now: () => 0 },
      })
      made.#of.push({ store, operator })
    }
    return made
  }

  record(key: Key, value: Input, timestamp: number): void {
    const { operator } = this.#of[ownerOf(keyGroupOf(key, 128), this.#of.length, 128)]!
    operator.onBatch({ keys: [key], values: [value], timestamps: [timestamp] }, this.#out)
  }

  watermark(timestamp: number): void {
    for (const { operator } of this.#of) operator.onWatermark(timestamp, this.#out)
  }

  async snapshot(n: number): Promise<SegmentRef[][]> {
    const chains = await Promise.all(this.#of.map(({ store }) => store.snapshot(cp(n))))
    await Promise.all(this.#of.map(({ store }) => store.folded()))
    return chains.map((chain) => [...chain])
  }

  async close(): Promise<void> {
    await Promise.all(this.#of.map(({ store }) => store.close()))
  }
}

const key = fc.constantFrom<Key>('ada', 'bob', 3)
const mapKey = fc.constantFrom<Key>('x', 'y', 1, '1', 's1:x')
const n = fc.integer({ min: -5, max: 5 })
const of = <const D extends string>(...names: D[]) => fc.constantFrom<D>(...names)
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: of('total', 'last', 'recent', 'log', 'mean'), n }) },
  fc.record({ do: of('log-set'), values: fc.array(n, { maxLength: 3 }) }),
  fc.record({ do: of('log-keep', 'recent-keep'), n: fc.nat({ max: 2 }) }),
  { weight: 4, arbitrary: fc.record({ do: of('seen', 'counts'), k: mapKey, n }) },
  { weight: 2, arbitrary: fc.record({ do: of('seen-delete', 'counts-delete'), k: mapKey }) },
  fc.record({ do: of('clear'), what: fc.constantFrom(...(Object.keys(states) as (keyof States)[])) }),
  { weight: 2, arbitrary: fc.record({ do: of('alarm', 'alarm-delete'), inMs: fc.integer({ min: -3, max: 12 }) }) },
  fc.constant<Action>({ do: 'look' }),
)
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      ...{ do: of('record'), key, action, aheadMs: fc.integer({ min: -4, max: 10 }) },
      fails: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: of('watermark'), byMs: fc.integer({ min: 1, max: 15 }) }) },
  { weight: 2, arbitrary: fc.record({ do: of('snapshot') }) },
  { weight: 1, arbitrary: fc.record({ do: of('restart'), parallelism: fc.integer({ min: 1, max: 3 }) }) },
)

test('over any history of records, failures, snapshots, restarts and rescales every kind of state equals plain objects', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 60, size: 'max' }), async (steps) => {
      let model = new Map<Key, Plain>()
      let watermark = 100
      let epochs = 0
      // One change of the parallelism per history: a later one needs the narrowing of a manifest's segments.
      let rescaled = false
      let durable = { chains: [] as SegmentRef[][], model: new Map<Key, Plain>(), watermark }
      let instances = await Instances.open(1, [], watermark)
      const plainOf = (k: Key): Plain => {
        if (!model.has(k)) model.set(k, nothing())
        return model.get(k)!
      }
      for (const s of steps) {
        instances.outputs.length = instances.refused.length = 0
        if (s.do === 'record') {
          const timestamp = watermark + s.aheadMs
          const now = Math.max(timestamp, watermark)
          instances.record(s.key, s, timestamp)
          if (s.fails) {
            expect([instances.refused, instances.outputs]).toEqual([['OPERATOR_FAILED'], []])
            continue
          }
          actOn(plainOf(s.key), s.action, now, timestamp)
          expect(instances.outputs).toEqual([[s.key, viewOf(plainOf(s.key), s.action.do === 'look', now)]])
        } else if (s.do === 'watermark') {
          watermark += s.byMs
          instances.watermark(watermark)
          const due = [...model].flatMap(([k, { alarms }]) => [...alarms].map((at) => ({ k, at })))
          const fired = due.filter(({ at }) => at <= watermark).sort((a, b) => a.at - b.at)
          const expected = fired.map(({ k, at }) => {
            const plain = plainOf(k)
            plain.alarms.delete(at)
            plain.total += 1_000
            // A timer set into the past fires at the time there is.
            const now = Math.max(at, watermark - s.byMs)
            const last = plain.last !== null && now < plain.last.touched + TTL_MS ? plain.last.n : undefined
            return [k, `alarm ${at}: ${plain.total} ${String(last)}`] as const
          })
          for (const k of model.keys()) {
            const mine = ([of]: readonly [Key, unknown]): boolean => of === k
            expect(instances.outputs.filter(mine)).toEqual(expected.filter(mine))
          }
        } else if (s.do === 'snapshot') {
          durable = { chains: await instances.snapshot(++epochs), model: structuredClone(model), watermark }
        } else {
          await instances.close()
          const parallelism: number = rescaled ? Math.max(durable.chains.length, 1) : s.parallelism
          rescaled ||= durable.chains.length > 0 && parallelism !== durable.chains.length
          instances = await Instances.open(parallelism, durable.chains, durable.watermark)
          model = structuredClone(durable.model)
          watermark = durable.watermark
        }
      }
      await instances.close()
    }),
    { numRuns: 20 },
  )
}, 60_000)

// ---- more than memory -----------------------------------------------------------------------------------------------

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heapMb = (): number => {
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

/** One subtask; everything emitted, in order. */
function opened<S extends StateDescriptors>(store: LevelStateStore, of: KeyedProcess<never, unknown, S, None>) {
  const operator = new KeyedProcessOperator({ uid, ...keyedProcessOf(of) })
  operator.open({
    ...{ uid, subtask: subtask(0), parallelism: 1, maxParallelism: 128, state: store, watermark: 0, freeze: true },
    ...{ counters: { lateRecords: 0 }, refuse: refuseNone, clock: { now: () => 0 } },
  })
  const seen: unknown[] = []
  const out: Collector = { emit: ({ values }) => void seen.push(...values), watermark: () => {} }
  return {
    seen,
    records: (keys: Key[], values: unknown[], timestamp = 0) =>
      operator.onBatch({ keys, values, timestamps: keys.map(() => timestamp) }, out),
    watermark: (timestamp: number) => operator.onWatermark(timestamp, out),
  }
}

test.each([
  ['entries', { hotEntriesMax: 1_000, hotBytesMax: 2 ** 40 }],
  ['bytes', { hotEntriesMax: 1_000_000, hotBytesMax: 2 ** 19 }],
])(
  'of state larger than the hot bound in %s every value is right, and the heap stays small',
  async (_, bounds) => {
    const KEYS = 8_000
    const PAYLOAD = 'x'.repeat(2_000)
    const store = await openStore(objects, { ...bounds, chainLengthMax: 5 })
    const { seen, records } = opened(store, {
      state: { last: value<{ n: number; payload: string }>(), visits: states.counts },
      onRecord({ state, key }, n: number, out: Out<unknown>) {
        const last = state.last.get()
        state.visits.set(n, (state.visits.get(n) ?? 0) + Number(key))
        // A string of its own: a shared one would cost nothing.
        state.last.set({ n, payload: `${PAYLOAD}${n}-${key}` })
        if (n === 2) out.emit([key, last?.n, last?.payload.slice(2_000), state.visits.get(1), state.visits.size])
      },
    })
    const before = heapMb()
    let highest = 0
    let epochs = 0
    for (const n of [1, 2]) {
      for (let from = 0; from < KEYS; from += 1_000) {
        records(
          Array.from({ length: 1_000 }, (_, i) => from + i),
          Array.from({ length: 1_000 }, () => n),
        )
        await store.snapshot(cp(++epochs))
        highest = Math.max(highest, heapMb() - before)
      }
    }
    expect(seen.splice(0)).toEqual(Array.from({ length: KEYS }, (_, k) => [k, 1, `1-${k}`, k, 2]))
    // The values alone are 16 MB, and as many when replaced; an epoch has 2 MB of them, which are there twice while they spill.
    expect(highest).toBeLessThan(8)
    await store.close()
  },
  30_000,
)

test('a map of many entries is not rewritten for one of them, nor a list for one more', async () => {
  const store = await openStore(objects)
  const { seen, records } = opened(store, {
    state: { map: states.counts, list: states.log, sum: states.total },
    onRecord({ state }, n: number, out: Out<unknown>) {
      state.map.set(n % 5_000, (state.map.get(n % 5_000) ?? 0) + 1)
      state.list.add(n)
      state.sum.set(state.sum.get() + 1)
      out.emit([state.map.size, state.sum.get()])
    },
  })
  for (let from = 0; from < 5_000; from += 1_000) {
    const some = Array.from({ length: 1_000 }, (_, i) => from + i)
    records(
      some.map(() => 'ada'),
      some,
    )
  }
  await store.snapshot(cp(1))
  records(['ada'], [5_007])
  const delta = (await store.snapshot(cp(2))).at(-1)!
  expect(seen.at(-1)).toEqual([5_000, 5_001])
  // The entry, the element, the list's end and the sum; the last three as differences, as the entry.
  expect([delta.kind, delta.entries]).toEqual(['delta', 4])
  const { chunks } = await openSegment({ ...delta, index: delta.index! }, objects, { from: 0, to: 128 })
  const ops: number[] = []
  for await (const rows of chunks()) for (const { op } of rows) ops.push(op)
  expect(ops.sort()).toEqual([VALUE, PLUS, PLUS, PLUS])
  await store.close()
})

test.each([
  ['snapshots', { chainLengthMax: 1_000 }],
  ['a folding', { chainLengthMax: 2, lookRowsMax: 0 }],
])('expired rows are found by %s, and deleted', async (_, bounds) => {
  const store = await openStore(objects, bounds)
  const { records, watermark } = opened(store, {
    state: { last: { ...value<number>(), ttl: ttl('write') }, seen: states.seen, recent: states.recent },
    onRecord({ state }, n: number) {
      state.last.set(n)
      state.seen.set(n, n)
      state.recent.add(n)
    },
  })
  const keys = Array.from({ length: 1_000 }, (_, k) => k)
  const left = (): number =>
    ['last', 'last.touched', 'seen.size', 'recent.next', 'recent.head'].reduce(
      (sum, name) => sum + keys.filter((k) => store.keyed(uid, name).get(k) !== undefined).length,
      0,
    )
  records(keys, keys, 100)
  await store.snapshot(cp(1))
  // Only one key is seen from now on; the others are found as time goes by.
  let epochs = 1
  while (left() > 0 && epochs < 100) {
    watermark(119 + epochs)
    records(['alive'], [1], 120 + epochs)
    await store.snapshot(cp(++epochs))
    await store.folded()
  }
  expect(left()).toBe(0)
  expect(store.keyed(uid, 'last').get('alive')).toBe(1)
  await store.close()
})
