import { WATERMARK_MAX, WATERMARK_MIN } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MergedWatermark } from './merged-watermark.ts'

const from = (...watermarks: number[]): MergedWatermark => new MergedWatermark(watermarks.entries())

test('an idle input holds nobody back, and holds again when it is back', () => {
  const merged = from(10, WATERMARK_MIN)
  expect(merged.current).toBe(WATERMARK_MIN)
  expect(merged.idle(1)).toBe(10)
  expect(merged.advance(0, 50)).toBe(50)
  expect(merged.advance(1, 20)).toBe(50) // what it brings from before 50 is late
  expect(merged.advance(0, 60)).toBe(50)
  expect(merged.advance(1, 55)).toBe(55)
})

test('when nobody is active, time stays; ended ones do not make it run on to the end', () => {
  const merged = from(10, 20)
  merged.idle(0)
  merged.idle(1)
  expect([merged.current, merged.isIdle]).toEqual([20, true])
  const other = from(10, 20)
  other.idle(0)
  expect(other.advance(1, WATERMARK_MAX)).toBe(20)
  expect(other.isIdle).toBe(true)
  expect(other.advance(0, WATERMARK_MAX)).toBe(WATERMARK_MAX)
  expect(other.isIdle).toBe(false)
})

test('one that was further than all when it fell idle takes time with it when it is back alone', () => {
  const merged = from(10, 100)
  merged.idle(1)
  merged.idle(0)
  expect(merged.current).toBe(10)
  expect(merged.advance(1, 100)).toBe(100)
})

const event = fc.record({
  input: fc.nat(3),
  to: fc.oneof(fc.nat(40), fc.constant(WATERMARK_MAX)),
  type: fc.constantFrom('advance', 'advance', 'idle'),
})
test('agrees with a model that looks at everything every time', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(10), { maxLength: 4 }), fc.array(event), (begin, events) => {
      const merged = new MergedWatermark(begin.entries())
      const all = begin.map((watermark) => ({ watermark, idle: false }))
      let time = Math.min(WATERMARK_MAX, ...begin)
      for (const { input: i, to, type } of events) {
        if (begin.length === 0) break
        const input = i % begin.length
        const one = all[input]!
        if (type === 'idle') {
          merged.idle(input)
          one.idle = one.watermark < WATERMARK_MAX
        } else {
          merged.advance(input, to)
          all[input] = { watermark: Math.max(one.watermark, to), idle: false }
        }
        const active = all.filter(({ watermark, idle }) => !idle && watermark < WATERMARK_MAX)
        const isIdle = active.length === 0 && all.some(({ idle }) => idle)
        if (!isIdle) time = Math.max(time, Math.min(WATERMARK_MAX, ...active.map(({ watermark }) => watermark)))
        expect([merged.current, merged.isIdle]).toEqual([time, isIdle])
      }
    }),
  )
})
