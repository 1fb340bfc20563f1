/** Barriers that overtake, piece by piece: the gate, the channels, the cut, the object. */
import {
  END,
  WATERMARK_MIN,
  attempt,
  barrier,
  epoch,
  generation,
  records,
  subtask,
  watermark,
  type StreamElement,
} from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { Capture } from './capture.ts'
import { CHANNEL_CREDITS, LocalChannel, RemoteInput, RemoteOutput, type InputChannel } from './channel.ts'
import { StageCut } from './stage-cut.ts'
import { Flight, decodeFlight } from './flight.ts'
import { decodeFrame, encodeFrame } from './frame.ts'
import type { GateEvent } from './gate-event.ts'
import { InputGate } from './input-gate.ts'
import { Partitioner } from './partitioner.ts'
import { elementsInFlight } from './restored-flight.ts'
import { MemoryExchange } from './testing/index.ts'

const id = { generation: generation(1), attempt: attempt(1) }
const cp = (n: number) => ({ ...id, epoch: epoch(n) })
const rec = (v: number): StreamElement => records({ keys: ['k'], values: [v], timestamps: [0] })
const name = (from: number, to = 0, stage = 1) => ({ stage, input: 0, from: subtask(from), to: subtask(to) })

const word = (element: StreamElement): string =>
  element.kind === 'records'
    ? String(element.batch.values[0])
    : element.kind === 'watermark'
      ? `w${element.timestamp}`
      : element.kind === 'barrier'
        ? `|${element.checkpoint.epoch}`
        : element.kind
const eventWord = (event: GateEvent): string =>
  event.type === 'records'
    ? String(event.batch.values[0])
    : event.type === 'watermark'
      ? `w${event.timestamp}`
      : event.type === 'barrier'
        ? `|${event.checkpoint.epoch}${event.overtaken === null ? '' : '!'}`
        : event.type

/** By channel, as words. */
async function captured(capture: Capture): Promise<string[]> {
  const flight = await capture.whole
  if (flight.isEmpty) return []
  return decodeFlight(flight.encode()).map(({ from, elements }) => `${from}: ${elements.map(word).join(' ')}`)
}

describe('a gate', () => {
  function gate(channels: number, bytesMax = 10_000) {
    const push: ((e: StreamElement) => void)[] = []
    const inputs = Array.from({ length: channels }, (_, i): InputChannel => ({
      onElement: (call) => void (push[i] = (e) => call(e, null)),
      consumed: () => {},
      close: () => {},
    }))
    const inFlight = [{ channel: 0, element: rec(-1) }]
    const overtaking = { bytesMax, nameOf: (channel: number) => name(channel), onOvertaken: () => {} }
    const g = new InputGate(inputs, { attempt: id, restored: WATERMARK_MIN, overtaking, inFlight }, () => 0)
    const captures: Capture[] = []
    const drain = (): string[] => {
      const out: string[] = []
      for (let e = g.next(); e !== undefined; e = g.next()) {
        out.push(eventWord(e))
        if (e.type === 'barrier' && e.overtaken !== null) captures.push(e.overtaken)
      }
      return out
    }
    return { g, push, drain, captures }
  }

  test('hands out a due barrier before all that waits; what it has overtaken follows, and is in the capture', async () => {
    const { g, push, drain, captures } = gate(2)
    for (const e of [rec(1), watermark(5), barrier(cp(7)), rec(2)]) push[0]!(e)
    push[1]!(rec(8))
    g.due(cp(7))
    push[1]!(rec(9))
    push[1]!(barrier(cp(7)))
    push[1]!(rec(10))
    expect(drain()).toEqual(['|7!', '-1', '1', '2', '8', '9', '10'])
    expect(await captured(captures[0]!)).toEqual(['0: -1 1 w5', '1: 8 9'])
  })

  test('of a blocked channel nothing is captured: what waits there is behind its barrier', async () => {
    const { g, push, drain, captures } = gate(2)
    for (const e of [rec(1), barrier(cp(7)), rec(2)]) push[0]!(e)
    expect(drain()).toEqual(['-1', '1'])
    push[1]!(rec(8))
    g.due(cp(7))
    push[1]!(barrier(cp(7)))
    expect(drain()).toEqual(['|7!', '2', '8'])
    expect(await captured(captures[0]!)).toEqual(['1: 8'])
  })

  test('does not store the end of an input: it is told again', async () => {
    const { g, push, drain, captures } = gate(1)
    for (const e of [END, barrier(cp(7))]) push[0]!(e)
    g.due(cp(7))
    expect(drain()).toEqual(['|7!', '-1', `w${Number.MAX_SAFE_INTEGER}`, 'end'])
    expect(await captured(captures[0]!)).toEqual(['0: -1'])
  })

  test('aligns where more waits than may be stored', () => {
    const { g, push, drain } = gate(2, 40)
    for (let i = 0; i < 5; i++) push[1]!(rec(i))
    push[1]!(barrier(cp(7)))
    g.due(cp(7))
    push[1]!(rec(5))
    expect(drain()).toEqual(['-1', '0', '1', '2', '3', '4'])
    push[0]!(barrier(cp(7)))
    expect(drain()).toEqual(['|7', '5'])
  })

  test('fails the capture that outgrows its bound, and aligns the next barrier', async () => {
    const { g, push, drain, captures } = gate(2, 40)
    push[0]!(barrier(cp(7)))
    g.due(cp(7))
    for (let i = 0; i < 5; i++) push[1]!(rec(i))
    expect(drain()).toEqual(['|7!', '-1', '0', '1', '2', '3', '4'])
    await expect(captured(captures[0]!)).rejects.toMatchObject({ code: 'IN_FLIGHT_TOO_LARGE', kind: 'retry' })
    g.giveUp(cp(7))
    for (const channel of [0, 1]) push[channel]!(barrier(cp(8)))
    push[1]!(rec(5))
    g.due(cp(8))
    expect(drain()).toEqual(['|8', '5'])
  })

  test('given up in the middle of a capture, and of the next epoch nothing is missing', async () => {
    const { g, push, drain, captures } = gate(2)
    push[0]!(barrier(cp(7)))
    g.due(cp(7))
    push[1]!(rec(1))
    g.giveUp(cp(7))
    push[1]!(rec(2))
    push[0]!(barrier(cp(8)))
    g.due(cp(8))
    push[1]!(barrier(cp(7)))
    push[1]!(rec(3))
    push[1]!(barrier(cp(8)))
    drain()
    expect(await captured(captures.at(-1)!)).toEqual(['0: -1', '1: 1 2 3'])
  })
})

describe('a channel on which barriers may overtake', () => {
  const overtaking = { overtaking: true }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  test('inside a thread: the barrier needs no credit, and comes in front of what waits', () => {
    const heard: string[] = []
    const channel = new LocalChannel(() => {}, overtaking)
    channel.onElement((e) => void heard.push(word(e)))
    for (let i = 0; i < CHANNEL_CREDITS + 2; i++) channel.send(rec(i))
    channel.send(barrier(cp(1)))
    expect(channel.inFrontOf(cp(1))?.map(word)).toEqual(['8', '9'])
    channel.overtake(cp(1))
    expect(heard.at(-1)).toBe('|1')
    channel.consumed()
    expect(heard.slice(-2)).toEqual(['|1', '8'])
  })

  test('between threads: one credit is kept for it, also for the next one; an older barrier that waits is dropped', async () => {
    const exchange = new MemoryExchange()
    const link = { jobId: 'j' as never, attempt: id, from: subtask(0), to: subtask(1), stage: 1, input: 0 }
    const heard: string[] = []
    const input = new RemoteInput(await exchange.accept(link), { ...overtaking, channels: 1 })
    const output = new RemoteOutput(await exchange.connect(link), () => {}, overtaking)
    const sent: number[] = []
    output.onBarrier(({ epoch }) => sent.push(epoch))
    input.onElement((e) => void heard.push(word(e)))
    await settled()
    for (let i = 0; i < CHANNEL_CREDITS + 2; i++) output.send(rec(i))
    output.send(barrier(cp(1)))
    output.send(barrier(cp(2)))
    output.overtake(cp(2))
    await settled()
    expect([heard.length, heard.at(-1)]).toEqual([CHANNEL_CREDITS + 1, '|2'])
    output.send(barrier(cp(3)))
    output.overtake(cp(3))
    await settled()
    expect(heard.at(-1)).toBe('|3')
    expect(sent).toEqual([2, 3])
    expect(output.inFrontOf(cp(1))).toBeNull()
    input.consumed()
    await settled()
    expect(heard.at(-1)).toBe('8')
  })
})

describe('the cut of a stage', () => {
  const written: { side: string; elements: string[] }[] = []
  const store = {
    write: (_: unknown, { side }: { side: string }, bytes: Uint8Array) => {
      written.push({ side, elements: decodeFlight(bytes).flatMap(({ elements }) => elements.map(word)) })
      return Promise.resolve({ key: side, bytes: bytes.length, sha256: '' })
    },
    read: () => Promise.reject(new Error('not here')),
  }
  const cutOf = (outputs: readonly Partitioner[], bytesMax = 10_000): StageCut =>
    new StageCut({
      checkpoint: cp(1),
      stage: 0,
      subtask: subtask(0),
      parallelism: 1,
      outputs,
      overtaken: null,
      bytesMax,
    })
  function fullOutput() {
    const channel = new LocalChannel(() => {}, { overtaking: true })
    for (let i = 0; i < CHANNEL_CREDITS + 2; i++) channel.send(rec(i))
    const output = new Partitioner([channel], { stage: 1, input: 0, maxParallelism: 8, overtaking: true })
    output.barrier(cp(1))
    return { channel, output }
  }

  test('holds what its barrier has overtaken on the way out', async () => {
    const cut = cutOf([fullOutput().output])
    cut.overtake()
    cut.barrierSent()
    const [ref] = await cut.stored(store, () => true)
    expect(ref).toMatchObject({ hasUnsent: true, records: 2, subtask: 0, parallelism: 1 })
    expect(written.pop()).toEqual({ side: 'unsent', elements: ['8', '9'] })
  })

  test('that would hold too much is waited for, and holds nothing', async () => {
    const { channel, output } = fullOutput()
    const cut = cutOf([output], 10)
    output.onBarrier(() => cut.barrierSent())
    cut.overtake()
    expect(channel.inFrontOf(cp(1))).toHaveLength(2)
    for (let i = 0; i < 3; i++) channel.consumed()
    expect(await cut.stored(store, () => true)).toEqual([])
  })

  test('of an epoch that was given up is not stored', async () => {
    const cut = cutOf([fullOutput().output])
    cut.overtake()
    cut.barrierSent()
    expect(await cut.stored(store, () => false)).toEqual([])
    expect(written).toEqual([])
  })
})

test('records in flight are dealt out by key in a job of another size; the order of a key is kept', () => {
  const keyed = (from: number, to: number, values: number[]): Flight => {
    const flight = new Flight(10_000)
    const keys = values.map((v) => `k${v % 10}`)
    flight.add(name(from, to), records({ keys, values, timestamps: values }), null)
    flight.add(name(from, to), watermark(99), null)
    return flight
  }
  const stored = (flight: Flight, subtask: number, hasUnsent: boolean) => ({
    ref: { key: '', bytes: 0, sha256: '', subtask, parallelism: 2, records: 0, hasUnsent } as never,
    streams: decodeFlight(flight.encode()),
  })
  const flights = [
    stored(keyed(0, 1, [11, 21]), 0, true),
    stored(keyed(0, 1, [1, 2, 3, 4, 5]), 1, false),
    stored(keyed(1, 0, [6, 7]), 0, false),
  ]
  const all = [0, 1, 2].map((subtask) => {
    const elements = elementsInFlight(flights, { subtask: subtask as never, parallelism: 3, maxParallelism: 128 })
    return (elements.get(1) ?? []).flatMap(({ element }) => (element.kind === 'records' ? element.batch.values : ['w']))
  })
  expect(all.flat().sort()).toEqual([1, 11, 2, 21, 3, 4, 5, 6, 7])
  expect(all.map((values) => values.filter((v) => Number(v) % 10 === 1)).filter((v) => v.length > 0)).toEqual([
    [1, 11, 21],
  ])
  const same = elementsInFlight(flights, { subtask: subtask(0), parallelism: 2, maxParallelism: 128 })
  expect(same.get(1)!.map(({ from, element }) => `${from}:${word(element)}`)).toEqual(['1:6', '1:w99'])
})

test('what user code does to a value afterwards is not in the object', () => {
  const frame = encodeFrame(0, records({ keys: ['k'], values: [Buffer.of(1, 2)], timestamps: [0] }))
  const element = decodeFrame(frame, 0) as StreamElement & { kind: 'records' }
  const flight = new Flight(1_000)
  flight.add(name(0), element, frame)
  ;(element.batch.values[0] as Uint8Array).fill(9)
  const [stream] = decodeFlight(flight.encode())
  expect(stream!.elements).toMatchObject([{ batch: { values: [Uint8Array.of(1, 2)] } }])
})

test('an object of a newer format is refused', () => {
  const object = new Flight(10).encode()
  object[0] = 2
  expect(() => decodeFlight(object)).toThrow(expect.objectContaining({ code: 'IN_FLIGHT_VERSION' }) as Error)
})
