/**
 * A thread of the bench: writes to one link, or reads from several. Both ways between threads look the same from here: they are links of the
 * exchange, over a MessagePort (the one of production) or over a ring in shared memory.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { WATERMARK_MIN, attempt, generation, jobId, subtask } from '@weir/model'
import { decodeFrame, encodeFrame, type InboundLink, type LinkId, type OutboundLink } from '@weir/runtime'
import { ThreadExchange, type LinkIntroduced } from '../../../libs/wire/src/thread-exchange.ts'
import { RingInbound, RingOutbound } from './ring-link.ts'
import type { RingMemory } from './shared-ring.ts'

export interface LinkWorkerData {
  readonly role: 'writer' | 'reader'
  /** Of the writer; of the reader, how many there are. */
  readonly slot: number
  /** By slot; null: by MessagePort. */
  readonly rings: readonly RingMemory[] | null
  /** Frames that may be on the way in each link. */
  readonly window: number
  /** Frames of each writer. */
  readonly frames: number
  /** `bytes`: frames of 64 bytes, neither encoded nor decoded. `records`: of so many records, encoded and decoded. */
  readonly load: 'bytes' | { readonly records: number }
}

const { role, slot, rings, window, frames, load } = workerData as LinkWorkerData
const main = parentPort!
const exchange = new ThreadExchange((request) => main.postMessage(request))
const started = new Promise<void>((resolve) => {
  main.on('message', (message: 'start' | LinkIntroduced) => {
    if (message === 'start') resolve()
    else exchange.introduced(message)
  })
})
const idOf = (from: number): LinkId => ({
  ...{ jobId: jobId('bench'), attempt: { generation: generation(1), attempt: attempt(1) }, stage: 1, input: 0 },
  ...{ from: subtask(from), to: subtask(0) },
})
const peer = { subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }
const never = new AbortController().signal

async function write(): Promise<void> {
  const id = idOf(slot)
  const link: OutboundLink = rings ? new RingOutbound(id, rings[slot]!) : await exchange.connect(id, peer, never)
  const batch = load === 'bytes' ? null : batchOf(load.records)
  let sequence = 0
  const frame = (): Uint8Array =>
    batch === null ? new Uint8Array(64).fill(sequence++ & 255) : encodeFrame(sequence++, { kind: 'records', batch })
  main.postMessage('ready')
  await started
  const flow = (): void => {
    while (sequence < frames && link.credits > 0) link.send(frame())
  }
  link.onCredit(flow)
  flow()
}

async function read(): Promise<void> {
  const links: readonly InboundLink[] = await Promise.all(
    Array.from({ length: slot }, (_, from) =>
      rings ? new RingInbound(idOf(from), rings[from]!) : exchange.accept(idOf(from), peer, never),
    ),
  )
  let left = frames * slot
  let checked = 0
  main.postMessage('ready')
  await started
  for (const link of links) {
    let sequence = 0
    link.onFrame((frame) => {
      if (load === 'bytes') checked += frame[0]!
      else {
        const element = decodeFrame(frame, sequence++)
        checked += element.kind === 'records' ? element.batch.values.length : WATERMARK_MIN
      }
      link.grant(1)
      if (--left === 0) main.postMessage({ checked })
    })
    link.grant(window)
  }
}

/** Orders of about 170 bytes as JSON. */
function batchOf(count: number) {
  const index = Array.from({ length: count }, (_, i) => i)
  return {
    keys: index.map((i) => `user-${i % 997}`),
    values: index.map((i) => ({
      ...{ orderId: `order-${1_000_000 + i}`, user: `user-${i % 997}`, amountMinor: i * 7, currency: 'EUR' },
      ...{ country: 'DE', createdAt: '2026-01-01T00:00:00.000Z', note: 'a gift, to be wrapped twice' },
    })),
    timestamps: index.map((i) => 1_767_225_600_000 + i),
  }
}

await (role === 'writer' ? write() : read())
