import fc from 'fast-check'
import { WATERMARK_MAX, WATERMARK_MIN, operatorUid, subtask, type Key, type RecordBatch } from '@weir/model'
import { expect, test } from 'vitest'
import { chain, type Input } from './chain.ts'
import { MemoryKeyedStates } from './memory-state.ts'
import type { Operator, WindowResult } from './operator.ts'
import { Filter, FlatMap, KeyBy, MapValues, Reduce, TumblingWindow } from './operators/index.ts'
import { refuseNone } from './user-code.ts'
import { SplitWatermarks } from './watermarks.ts'

type Seen = [key: Key | null, value: unknown, timestamp: number] | { watermark: number } | 'end'
function drive(operators: Operator[]): { input: Input; seen: Seen[] } {
  const seen: Seen[] = []
  const state = new MemoryKeyedStates()
  operators.forEach((operator, i) =>
    operator.open({
      uid: operatorUid(`op-${i}`),
      subtask: subtask(0),
      parallelism: 1,
      maxParallelism: 128,
      state,
      watermark: WATERMARK_MIN,
      counters: { lateRecords: 0 },
      clock: { now: () => 0 },
      refuse: refuseNone,
      freeze: true,
    }),
  )
  const tail: Input = {
    emit: ({ keys, values, timestamps }) => values.forEach((v, i) => seen.push([keys?.[i] ?? null, v, timestamps[i]!])),
    watermark: (watermark) => void seen.push({ watermark }),
    end: () => void seen.push('end'),
  }
  return { input: chain(operators, tail), seen }
}
const batch = (values: unknown[], keys: Key[] | null = null, timestamps = values.map((_, i) => i)): RecordBatch => ({
  keys,
  values,
  timestamps,
})
const uid = operatorUid('u')

test('filter, map and flatMap keep order, keys and times', () => {
  const { input, seen } = drive([
    new Filter({ uid, test: (v) => (v as number) > 1 }),
    new MapValues({ uid, map: (v) => (v as number) * 10 }),
    new FlatMap({ uid, flatMap: (v) => [v, -(v as number)] }),
  ])
  input.emit(batch([1, 2, 3], ['a', 'b', 'c']))
  expect(seen).toEqual([
    ['b', 20, 1],
    ['b', -20, 1],
    ['c', 30, 2],
    ['c', -30, 2],
  ])
})

test('keyBy sets keys; a missing key names operator and remedy', () => {
  const { input, seen } = drive([new KeyBy({ uid, key: (v) => (v as { k: string }).k })])
  input.emit(batch([{ k: 'a' }]))
  expect(seen).toEqual([['a', { k: 'a' }, 0]])
  expect(() => input.emit(batch([{}]))).toThrow(
    expect.objectContaining({ code: 'KEY_INVALID', kind: 'invalid' }) as Error,
  )
})

test('reduce emits the new accumulator for every record', () => {
  const { input, seen } = drive([new Reduce({ uid, initial: 0, reduce: (a, v) => (a as number) + (v as number) })])
  input.emit(batch([1, 2, 3], ['a', 'b', 'a']))
  expect(seen.map((s) => (s as unknown as [Key, number])[1])).toEqual([1, 2, 4])
})

test('a promise from a synchronous operator is refused', () => {
  const { input } = drive([new MapValues({ uid, map: () => Promise.resolve(1) })])
  expect(() => input.emit(batch([1]))).toThrow(expect.objectContaining({ code: 'OPERATOR_RETURNED_PROMISE' }) as Error)
})

const count = {
  uid,
  window: { type: 'tumbling', sizeMs: 10 },
  aggregate: { initial: 0, add: (n: unknown) => (n as number) + 1 },
} as const

test('a window fires once, when the watermark passes its end, before the watermark goes on', () => {
  const { input, seen } = drive([new TumblingWindow({ ...count })])
  input.emit(batch([0, 0, 0], ['a', 'a', 'a'], [1, 9, 10]))
  input.watermark(8)
  expect(seen).toEqual([{ watermark: 8 }])
  input.watermark(WATERMARK_MAX)
  const fired = seen.filter((s) => Array.isArray(s)).map(([, v]) => v as WindowResult<number>)
  expect(fired).toEqual([
    { start: 0, end: 10, value: 2 },
    { start: 10, end: 20, value: 1 },
  ])
  expect(seen.at(-1)).toEqual({ watermark: WATERMARK_MAX })
  input.emit(batch([0], ['a'], [5])) // late: dropped and counted, never a second result
  expect(seen).toHaveLength(4)
})

test('windows over any in-order watermarks equal counting by hand', () => {
  const record = fc.record({ key: fc.constantFrom('a', 'b'), at: fc.nat(100) })
  fc.assert(
    fc.property(fc.array(record, { maxLength: 40 }), (rows) => {
      const { input, seen } = drive([new TumblingWindow({ ...count })])
      let seenMax = WATERMARK_MIN
      const dumb = new Map<string, number>()
      for (const { key, at } of rows) {
        input.emit(batch([0], [key], [at]))
        const name = `${key}@${at - (at % 10)}`
        dumb.set(name, (dumb.get(name) ?? 0) + 1)
        seenMax = Math.max(seenMax, at - 100) // out-of-orderness as large as the input: nothing is late
        input.watermark(seenMax)
      }
      input.watermark(WATERMARK_MAX)
      const got = seen.flatMap((s) =>
        Array.isArray(s)
          ? [[`${s[0]}@${(s[1] as WindowResult<number>).start}`, (s[1] as WindowResult<number>).value]]
          : [],
      )
      expect(Object.fromEntries(got)).toEqual(Object.fromEntries(dumb))
      expect(got).toHaveLength(dumb.size)
    }),
  )
})

test('the watermark of a subtask is the minimum over its splits and never goes back', () => {
  const w = new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 5 }, [0, 1])
  expect(w.observe(0, [100])).toBe(WATERMARK_MIN)
  expect(w.observe(1, [50])).toBe(45)
  expect(w.observe(1, [20])).toBe(45)
  expect(w.end(1)).toBe(95)
  expect(new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 5 }, [0, 1], w.snapshot()).current).toBe(95)
  expect(new SplitWatermarks({ uid: operatorUid('in'), outOfOrderMs: 5 }, []).current).toBe(WATERMARK_MAX)
})
