import { attempt, generation, jobId, subtask, taskManagerId } from '@weir/model'
import type { ExchangePort, InboundLink, LinkId, OutboundLink, PeerAddress } from '@weir/runtime'
import { afterEach, describe, expect, test } from 'vitest'
import { FRAME_BYTES_MAX } from './exchange.ts'
import { GrpcExchange, SlotExchange, ThreadExchange, ThreadHub } from './index.ts'
import type { Poster } from './thread-exchange.ts'

const opened: GrpcExchange[] = []
afterEach(() => Promise.all(opened.splice(0).map((e) => e.close())))
const never = new AbortController().signal

async function endpoint(token: string | null = null): Promise<GrpcExchange> {
  const exchange = await GrpcExchange.listen({ host: '127.0.0.1', token })
  opened.push(exchange)
  return exchange
}
const id = (over: Partial<LinkId> = {}): LinkId => ({
  jobId: jobId('pay'),
  attempt: { generation: generation(1), attempt: attempt(1) },
  from: subtask(0),
  to: subtask(1),
  stage: 1,
  input: 0,
  ...over,
})
const peer = (exchange: GrpcExchange): PeerAddress => ({
  subtask: subtask(1),
  taskManagerId: taskManagerId('t'),
  exchangeAddress: exchange.address,
})
interface Ends {
  readonly a: ExchangePort
  readonly b: ExchangePort
  readonly peerA: PeerAddress
  readonly peerB: PeerAddress
}
const credit = (link: OutboundLink): Promise<void> =>
  link.credits > 0 ? Promise.resolve() : new Promise((resolve) => link.onCredit(resolve))

async function overGrpc(): Promise<Ends> {
  const [a, b] = [await endpoint(), await endpoint()]
  return { a, b, peerA: peer(a), peerB: peer(b) }
}
async function betweenThreads(): Promise<Ends> {
  const hub = new ThreadHub()
  const thread = (): ThreadExchange => {
    const poster: Poster = { postMessage: (message) => exchange.introduced(message as never) }
    const exchange: ThreadExchange = new ThreadExchange((request) => hub.request(poster, request))
    return exchange
  }
  const nowhere = { subtask: subtask(1), taskManagerId: taskManagerId('t'), exchangeAddress: '' }
  return { a: thread(), b: thread(), peerA: nowhere, peerB: nowhere }
}

describe.each([
  ['over gRPC', overGrpc],
  ['between threads', betweenThreads],
])('%s', (_name, make) => {
  async function linked(): Promise<{ out: OutboundLink; in: InboundLink }> {
    const { a, b, peerA, peerB } = await make()
    const [out, into] = await Promise.all([a.connect(id(), peerB, never), b.accept(id(), peerA, never)])
    return { out, in: into }
  }

  test('nothing is sent without credit; frames arrive in order, unchanged', async () => {
    const link = await linked()
    expect(link.out.credits).toBe(0)
    expect(() => link.out.send(new Uint8Array(1))).toThrow(/no credit/)
    const got: Uint8Array[] = []
    const all = new Promise<void>((resolve) =>
      link.in.onFrame((frame) => {
        got.push(frame)
        if (got.length === 100) resolve()
        else link.in.grant(1)
      }),
    )
    link.in.grant(3)
    for (let i = 0; i < 100; i++) {
      await credit(link.out)
      // Every other one is a part of a larger buffer.
      const frame = Uint8Array.from([i, i + 1, 0])
      link.out.send(i % 2 === 0 ? frame.subarray(0, 2) : frame.slice(0, 2))
    }
    await all
    expect(got.map((f) => [...f])).toEqual(Array.from({ length: 100 }, (_, i) => [i, i + 1]))
    link.out.close()
    link.in.close()
  })

  test('the sender may come first', async () => {
    const { a, b, peerA, peerB } = await make()
    const connecting = a.connect(id(), peerB, never)
    // Another link goes through meanwhile: the first has surely arrived by then.
    const other = id({ stage: 2 })
    const [out2, in2] = await Promise.all([a.connect(other, peerB, never), b.accept(other, peerA, never)])
    const into = await b.accept(id(), peerA, never)
    const out = await connecting
    into.onFrame(() => undefined)
    into.grant(1)
    await credit(out)
    for (const end of [out, into, out2, in2]) end.close()
  })

  test('a peer that goes breaks the link, once; a close of our own does not', async () => {
    const link = await linked()
    const broken: Error[] = []
    const seen = new Promise<void>((resolve) =>
      link.in.onBroken((error) => {
        broken.push(error)
        resolve()
      }),
    )
    link.in.onFrame(() => undefined)
    link.out.onBroken((error) => broken.push(error))
    link.out.close()
    await seen
    expect(broken).toHaveLength(1)
    expect(broken[0]).toMatchObject({ code: 'EXCHANGE_BROKEN', kind: 'restart' })
    link.in.close()
  })

  test('a sender of another attempt does not reach this one (B8)', async () => {
    const { a, b, peerA, peerB } = await make()
    const stale = id({ attempt: { generation: generation(1), attempt: attempt(9) } })
    const abort = new AbortController()
    const connecting = a.connect(stale, peerB, abort.signal)
    const accepting = b.accept(id(), peerA, abort.signal)
    // A right one gets through beside it.
    const other = id({ stage: 2 })
    const [out, into] = await Promise.all([a.connect(other, peerB, never), b.accept(other, peerA, never)])
    abort.abort(new Error('not linked'))
    await expect(connecting).rejects.toThrow('not linked')
    await expect(accepting).rejects.toThrow('not linked')
    out.close()
    into.close()
  })
})

test('over gRPC all that credits allow is there within a few turns of the loop, of which busy slots have a hundred in a second', async () => {
  const { a, b, peerA, peerB } = await overGrpc()
  const [out, into] = await Promise.all([a.connect(id(), peerB, never), b.accept(id(), peerA, never)])
  const got: number[] = []
  into.onFrame((frame) => {
    got.push(frame[0]!)
    into.grant(1)
  })
  into.grant(into.framesMax)
  await credit(out)
  const order = Array.from({ length: into.framesMax }, (_, i) => i)
  const round = async (): Promise<number> => {
    got.length = 0
    // Small ones behind large ones.
    for (const i of order) out.send(new Uint8Array(i % 4 === 0 ? 9 : 64 << 10).fill(i))
    let turns = 0
    for (; got.length < order.length || out.credits < order.length; turns++)
      await new Promise((resolve) => setImmediate(resolve))
    expect(got).toEqual(order)
    return turns
  }
  const turns: number[] = []
  for (let i = 0; i < 20; i++) turns.push(await round())
  // By windows of 64 KiB it takes 41.
  expect(Math.min(...turns), turns.join(' ')).toBeLessThanOrEqual(20)
  out.close()
  into.close()
})

test('gRPC takes a frame of more than its own 4 MiB; what no peer would take is named before it is sent, and the link stays', async () => {
  const { a, b, peerA, peerB } = await overGrpc()
  const [out, into] = await Promise.all([a.connect(id(), peerB, never), b.accept(id(), peerA, never)])
  const broken: Error[] = []
  for (const link of [out, into]) link.onBroken((error) => broken.push(error))
  const got: number[] = []
  const both = new Promise<void>((resolve) =>
    into.onFrame((frame) => {
      if (got.push(frame.length) === 2) resolve()
    }),
  )
  into.grant(2)
  await credit(out)
  expect(() => out.send(new Uint8Array(FRAME_BYTES_MAX + 1))).toThrow(
    expect.objectContaining({ code: 'EXCHANGE_RECORD_TOO_LARGE', kind: 'invalid' }),
  )
  const sizes = [5 << 20, FRAME_BYTES_MAX]
  for (const bytes of sizes) {
    await credit(out)
    out.send(new Uint8Array(bytes))
  }
  await both
  expect([got, broken]).toEqual([sizes, []])
  out.close()
  into.close()
})

test('slices of one process are linked by threads, others by gRPC', async () => {
  const called: string[] = []
  const named = (name: string): ExchangePort => ({
    connect: () => (called.push(`${name} connect`), Promise.reject(new Error('-'))),
    accept: () => (called.push(`${name} accept`), Promise.reject(new Error('-'))),
  })
  const slot = new SlotExchange('me', named('threads'), named('grpc'))
  const at = (taskManager: string): PeerAddress => ({
    subtask: subtask(1),
    taskManagerId: taskManagerId(taskManager),
    exchangeAddress: '',
  })
  await Promise.allSettled([slot.connect(id(), at('me'), never), slot.accept(id(), at('other'), never)])
  expect(called).toEqual(['threads connect', 'grpc accept'])
})

test('a wrong token, and nobody there, are told', async () => {
  const [a, b] = [await endpoint('one'), await endpoint('two')]
  await expect(a.connect(id(), peer(b), never)).rejects.toMatchObject({ code: 'TOKEN_REFUSED' })
  const gone = await endpoint('one')
  const address = peer(gone)
  await gone.close()
  await expect(a.connect(id(), address, never)).rejects.toMatchObject({ code: 'UNREACHABLE', kind: 'retry' })
})
