/**
 * Claims in Redis beside what its server can do at most: the same keys and texts by `SET key text NX PX ttl`, written to a socket as finished
 * bytes, as many in flight. Every claim is the first of its key. In turn on one server; medians of the rounds.
 */
import type { Claim } from '@weir/dataflow'
import { attempt, generation } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
// Not by the room's door: what is generated from .proto files has enums, which Node does not strip.
import { RedisClaims } from '../../libs/idempotency/src/redis-claims.ts'
import { RedisLink } from '../../libs/idempotency/src/redis-link.ts'
import { redisAddress } from '../../libs/idempotency/src/redis-url.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { atLeast, figure, median, say, type Figure } from './lib/figures.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5)
const CLAIMS = 200_000
/** Of one call; so many calls are under way at once. */
const BATCH = 1_000
const IN_FLIGHT = 4
const TTL_MS = 600_000
const RATIO_MIN = 0.8

const { redis } = stackEndpoints()
const never = new AbortController().signal

export async function claimFigures(): Promise<readonly Figure[]> {
  const [ours, raw] = [[] as number[], [] as number[]]
  for (let i = 0; i <= ROUNDS; i++) {
    const [a, b] = [await rawPerSecond(`raw-${i}`), await claimsPerSecond(`claims-${i}`)]
    if (i === 0) continue // warm
    raw.push(a)
    ours.push(b)
  }
  say(`claims: ${Math.round(median(ours))}/s in scripts of ${BATCH}; SET NX pipelined: ${Math.round(median(raw))}/s`)
  return [
    figure('Redis: SET NX PX per second, pipelined on a socket', median(raw)),
    figure('Redis: claims per second', median(ours)),
    atLeast('Redis: claims over SET NX PX', median(ours) / median(raw), RATIO_MIN),
  ]
}

const run = systemRandom.nonce().slice(0, 8)
const fingerprint = createHash('sha256').update('an order').digest('base64url')
function claims(name: string): Claim[] {
  return Array.from({ length: CLAIMS }, (_, i) => ({
    key: { bizKey: `${name}-order-${i}`, eventType: 'payment' },
    fingerprint,
    origin: `orders/${i % 4}/${i} once`,
    attempt: { generation: generation(1), attempt: attempt(1) },
    eventTime: 1_700_000_000_000 + i,
  }))
}

async function claimsPerSecond(name: string): Promise<number> {
  const link = new RedisLink(redisAddress(`redis://${redis}`), systemClock)
  const options = { namespace: `bench-${run}`, windowMs: TTL_MS, ttlMs: TTL_MS, wait: null }
  const store = new RedisClaims(options, { link, clock: systemClock, onLost: () => undefined })
  await connected(() => store.claim(claims(`${name}-warm`).slice(0, 1), never))
  const all = claims(name)
  const before = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      const batch = all.slice(next, (next += BATCH))
      for (const { outcome } of await store.claim(batch, never)) if (outcome !== 'first') throw new Error(outcome)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  const rate = (CLAIMS / (performance.now() - before)) * 1_000
  await store.close()
  return rate
}

async function connected(first: () => Promise<unknown>): Promise<void> {
  for (let tries = 50; ; tries--) {
    try {
      await first()
      return
    } catch (error) {
      if (tries === 0) throw error
      await systemClock.sleep(20)
    }
  }
}

/** Keys and texts as claims have them; the bytes are made before the time is taken. */
async function rawPerSecond(name: string): Promise<number> {
  const [host, port] = redis.split(':') as [string, string]
  const socket = connect({ host, port: Number(port), noDelay: true })
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  const batches: Buffer[] = []
  const all = claims(name)
  for (let i = 0; i < CLAIMS; i += BATCH)
    batches.push(
      Buffer.from(
        all
          .slice(i, i + BATCH)
          .map(command)
          .join(''),
      ),
    )
  const before = performance.now()
  await pipeline(socket, batches)
  const rate = (CLAIMS / (performance.now() - before)) * 1_000
  socket.destroy()
  return rate
}

function command({ key, fingerprint: print, eventTime, attempt: of, origin }: Claim): string {
  const name = `weir:{bench-${run}:${eventTime % 32}}:r:${key.eventType.length}:${key.eventType}:${key.bizKey}`
  const text = `1 ${print} ${eventTime} ${of.generation} ${of.attempt} ${origin}`
  const parts = ['SET', name, text, 'NX', 'PX', String(TTL_MS)]
  return `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join('')}`
}

/** IN_FLIGHT batches are with the server. Every answer is `+OK`. */
function pipeline(socket: Socket, batches: readonly Buffer[]): Promise<void> {
  const OK_BYTES = 5
  return new Promise((resolve, reject) => {
    let [sent, received] = [0, 0]
    const send = (): void => {
      while (sent < batches.length && sent * BATCH - received / OK_BYTES < IN_FLIGHT * BATCH) {
        socket.write(batches[sent++]!)
      }
    }
    socket.on('data', (data: Buffer) => {
      if (data.includes(0x2d) || data.includes(0x24)) return reject(new Error(data.toString().slice(0, 200))) // - or $
      received += data.length
      if (received === CLAIMS * OK_BYTES) return resolve()
      send()
    })
    socket.once('error', reject)
    send()
  })
}
