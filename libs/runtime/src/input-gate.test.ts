import {
  IDLE,
  WATERMARK_MAX,
  WATERMARK_MIN,
  attempt,
  barrier,
  epoch,
  generation,
  watermark,
  END,
  records,
  type StreamElement,
} from '@weir/model'
import { expect, test } from 'vitest'
import type { InputChannel } from './channel.ts'
import { decodeFrame, encodeFrame } from './frame.ts'
import { InputGate } from './input-gate.ts'

const id = { generation: generation(1), attempt: attempt(1) }
const cp = (n: number) => ({ ...id, epoch: epoch(n) })
const rec = (v: number): StreamElement => records({ keys: ['k'], values: [v], timestamps: [0] })

/** Elements as short words: numbers are records, `w5` watermarks, `|7` barriers. */
function gate(channels: number) {
  const push: ((e: StreamElement) => void)[] = []
  const consumed = Array.from({ length: channels }, () => 0)
  const inputs = consumed.map((_, i): InputChannel => ({
    onElement: (call) => void (push[i] = (e) => call(e, null)),
    consumed: () => void consumed[i]!++,
    close: () => {},
  }))
  const g = new InputGate(inputs, { attempt: id, restored: WATERMARK_MIN, overtaking: null, inFlight: [] }, () => 0)
  const drain = (): string[] => {
    const out: string[] = []
    for (let e = g.next(); e !== undefined; e = g.next()) {
      out.push(
        e.type === 'records'
          ? String(e.batch.values[0])
          : e.type === 'watermark'
            ? `w${e.timestamp}`
            : e.type === 'barrier'
              ? `|${e.checkpoint.epoch}`
              : e.type === 'idle'
                ? e.isIdle
                  ? 'idle'
                  : 'active'
                : 'end',
      )
    }
    return out
  }
  return { g, push, consumed, drain }
}

test('what comes behind a barrier waits until every channel has delivered it, in order', () => {
  const { push, drain } = gate(2)
  for (const e of [rec(1), rec(2), barrier(cp(7)), rec(3)]) push[0]!(e)
  expect(drain()).toEqual(['1', '2'])
  push[0]!(rec(4))
  push[1]!(rec(9))
  expect(drain()).toEqual(['9'])
  push[1]!(barrier(cp(7)))
  push[0]!(rec(5))
  push[1]!(rec(10))
  expect(drain()).toEqual(['|7', '3', '4', '5', '10'])
})

test('credit is given for what was looked at, not for what is held back', () => {
  const { push, drain, consumed } = gate(2)
  for (const e of [barrier(cp(1)), rec(1), rec(2)]) push[0]!(e)
  drain()
  expect(consumed).toEqual([1, 0])
})

test('a given-up epoch lets held elements go', () => {
  const { g, push, drain } = gate(2)
  push[0]!(barrier(cp(1)))
  push[0]!(rec(1))
  expect(drain()).toEqual([])
  g.giveUp(cp(1))
  expect(drain()).toEqual(['1'])
})

test('the watermark is the minimum over the channels; an ended one no longer counts', () => {
  const { push, drain } = gate(2)
  push[0]!(watermark(10))
  push[1]!(watermark(4))
  expect(drain()).toEqual(['w4'])
  push[1]!(END)
  expect(drain()).toEqual(['w10'])
  push[0]!(END)
  expect(drain().at(-1)).toBe('end')
})

test('an idle channel holds nobody back until its next watermark; when none is active the stage behind hears of it', () => {
  const { push, drain } = gate(2)
  push[0]!(watermark(10))
  push[1]!(IDLE)
  expect(drain()).toEqual(['w10'])
  push[0]!(IDLE)
  expect(drain()).toEqual(['idle'])
  push[1]!(watermark(20))
  expect(drain()).toEqual(['active', 'w20'])
  push[0]!(watermark(15)) // behind what 1 has led to: late, and it holds the others again
  push[1]!(watermark(30))
  expect(drain()).toEqual([])
  push[0]!(watermark(25))
  expect(drain()).toEqual(['w25'])
})

test('an idle channel keeps the end from coming, and its own end lets it come', () => {
  const { push, drain } = gate(2)
  push[0]!(IDLE)
  push[1]!(END)
  expect(drain()).toEqual(['idle'])
  push[0]!(END)
  expect(drain()).toEqual(['active', `w${WATERMARK_MAX}`, 'end'])
})

test('frames carry every kind of element, and a gap in their numbers is an error', () => {
  for (const e of [rec(2 ** 40), watermark(-5), barrier(cp(3)), IDLE, END])
    expect(decodeFrame(encodeFrame(4, e), 4)).toEqual(e)
  expect(() => decodeFrame(encodeFrame(4, END), 3)).toThrow(
    expect.objectContaining({ code: 'EXCHANGE_OUT_OF_ORDER' }) as Error,
  )
})
