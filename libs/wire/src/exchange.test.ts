import { attempt, generation, jobId, subtask, taskManagerId } from '@weir/model'
import type { InboundLink, LinkId, OutboundLink, PeerAddress } from '@weir/runtime'
import { afterEach, expect, test } from 'vitest'
import { GrpcExchange } from './index.ts'

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
  ...over,
})
const peer = (exchange: GrpcExchange): PeerAddress => ({
  subtask: subtask(1),
  taskManagerId: taskManagerId('t'),
  exchangeAddress: exchange.address,
})
async function linked(): Promise<{ out: OutboundLink; in: InboundLink }> {
  const [a, b] = [await endpoint(), await endpoint()]
  const [out, into] = await Promise.all([a.connect(id(), peer(b), never), b.accept(id(), peer(a), never)])
  return { out, in: into }
}
const credit = (link: OutboundLink): Promise<void> =>
  link.credits > 0 ? Promise.resolve() : new Promise((resolve) => link.onCredit(resolve))

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
    link.out.send(Uint8Array.from([i, i + 1]))
  }
  await all
  expect(got.map((f) => [...f])).toEqual(Array.from({ length: 100 }, (_, i) => [i, i + 1]))
})

test('the sender may come first', async () => {
  const [a, b] = [await endpoint(), await endpoint()]
  const connecting = a.connect(id(), peer(b), never)
  // Another link goes through meanwhile: the first has surely arrived by then.
  await Promise.all([a.connect(id({ stage: 2 }), peer(b), never), b.accept(id({ stage: 2 }), peer(a), never)])
  const into = await b.accept(id(), peer(a), never)
  const out = await connecting
  into.onFrame(() => undefined)
  into.grant(1)
  await credit(out)
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
})

test('a sender of another attempt does not reach this one (B8)', async () => {
  const [a, b] = [await endpoint(), await endpoint()]
  const stale = id({ attempt: { generation: generation(1), attempt: attempt(9) } })
  const abort = new AbortController()
  const connecting = a.connect(stale, peer(b), abort.signal)
  const accepting = b.accept(id(), peer(a), abort.signal)
  // A right one gets through beside it.
  await Promise.all([a.connect(id({ stage: 2 }), peer(b), never), b.accept(id({ stage: 2 }), peer(a), never)])
  abort.abort(new Error('not linked'))
  await expect(connecting).rejects.toThrow('not linked')
  await expect(accepting).rejects.toThrow('not linked')
})

test('a wrong token, and nobody there, are told', async () => {
  const [a, b] = [await endpoint('one'), await endpoint('two')]
  await expect(a.connect(id(), peer(b), never)).rejects.toMatchObject({ code: 'TOKEN_REFUSED' })
  const gone = await endpoint('one')
  const address = peer(gone)
  await gone.close()
  await expect(a.connect(id(), address, never)).rejects.toMatchObject({ code: 'UNREACHABLE', kind: 'retry' })
})
