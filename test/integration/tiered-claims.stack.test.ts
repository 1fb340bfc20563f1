/** `tiered(…)` as a task-manager opens it: folders of subtasks, a lock, one layer that decides alone, and a job on real Kafka and Redis. */
import type { Claim, ClaimStore, ClaimStoreOptions, ClaimsNews, IdempotentNode, SubtaskContext } from '@weir/dataflow'
import { claimStoreContract } from '@weir/idempotency/testing'
import { KafkaConnections } from '@weir/kafka'
import { operatorUid } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { job, json, kafka as kafkaOf, redis, tiered, type Claims, type TieredClaimsOptions } from '@weir/sdk'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { claimsOf } from '../../apps/task-manager/src/claims.ts'
import { TieredStores, claimsFolder } from '../../apps/task-manager/src/tiered-claims.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { createTopics } from '../stack/topics.ts'
import { runBounded } from './bounded-job.ts'

const { signal } = new AbortController()
const HOUR_MS = 3_600_000
const run = systemRandom.nonce().slice(0, 8)
const endpoints = stackEndpoints()
const kafka = new KafkaConnections({ brokers: [endpoints.kafka], clientId: 'weir-test' }, { clock: systemClock })
let localDir = ''
let proxy: Proxy
beforeAll(async () => {
  localDir = await mkdtemp(join(tmpdir(), 'weir-tiered-claims-'))
  proxy = await Proxy.before(endpoints.redis)
  process.env['TIERED_TEST_REDIS'] = `redis://${proxy.address}`
})
afterAll(async () => {
  await proxy.close()
  await kafka.close()
  await rm(localDir, { recursive: true, force: true })
})
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  proxy.mend()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** In front of a server that goes away and comes back. */
class Proxy {
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((client) => {
    if (this.#isCut) return void client.destroy()
    const [host, port] = this.#to.split(':') as [string, string]
    const server = connect({ host, port: Number(port), noDelay: true })
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined).on('close', () => other.destroy())
      one.pipe(other)
    }
  })
  readonly #to: string
  #isCut = false

  private constructor(to: string) {
    this.#to = to
  }

  static async before(to: string): Promise<Proxy> {
    const proxy = new Proxy(to)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  mend(): void {
    this.#isCut = false
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

interface Named {
  readonly claims: Claims
  readonly policy?: IdempotentNode['onUnavailable']
  readonly of?: Partial<ClaimStoreOptions>
  readonly subtask?: number
}

let namespaces = 0
const overRedis = (options: Partial<TieredClaimsOptions> = {}, namespace = `tiered-${run}-${namespaces++}`): Claims =>
  tiered({ remote: redis({ url: 'env:TIERED_TEST_REDIS', namespace }), localDir, ...options })
const contextOf = (jobId: string, subtask = 0): SubtaskContext =>
  ({ jobId, operatorUid: operatorUid('once'), subtask }) as SubtaskContext

/** As the slot of one subtask opens it. */
function opened(jobId: string, { claims: { claims }, policy = { policy: 'fail' }, of, subtask }: Named) {
  const news: ClaimsNews[] = []
  const stores = new TieredStores()
  const { windowMs = HOUR_MS, ttlMs = HOUR_MS } = of ?? {}
  const node = {
    ...{ uid: operatorUid('once'), claims, windowMs, ttlMs, rewindMs: 0, onUnavailable: policy },
  } as IdempotentNode
  const deps = { clock: systemClock, localDir, tiered: stores }
  const store = claimsOf(node, contextOf(jobId, subtask), deps, (of) => news.push(of))
  cleanups.push(() => store.close())
  return { store, news, stores }
}

const claim = (bizKey: string, origin: string): Claim => ({
  key: { bizKey, eventType: '' },
  ...{ fingerprint: 'f', origin, attempt: { generation: 1, attempt: 1 } as Claim['attempt'], eventTime: 0 },
})
const outcomes = async (store: ClaimStore, ...claims: Claim[]): Promise<string[]> =>
  (await store.claim(claims, signal)).map(({ outcome }) => outcome)
/** A connection to Redis is not there at once. */
const waits = { policy: 'block', forMs: 10_000 } as const

let jobs = 0
claimStoreContract('claims in tiers over Redis, as a job names them', () =>
  Promise.resolve({
    pass: (ms) => systemClock.sleep(ms),
    open: ({ namespace, ...of }) =>
      Promise.resolve(opened(`contract-${jobs++}`, { claims: overRedis({}, namespace), policy: waits, of }).store),
  }),
)

test('what a subtask decided alone waits on its disk, and is told by its next attempt; others find it claimed', async () => {
  const claims = overRedis()
  const alone = opened('alone', { claims, policy: { policy: 'local' } })
  proxy.cut()
  expect(await outcomes(alone.store, claim('k', 'a/1'), claim('k', 'a/2'))).toEqual(['first', 'duplicate'])
  expect(alone.news.map(({ is }) => is)).toEqual(['degraded'])
  await alone.store.close()
  // The job is over, and the remote tier knows nothing yet.
  await alone.stores.forget()
  expect(existsSync(claimsFolder(localDir, contextOf('alone')))).toBe(true)

  proxy.mend()
  const next = opened('alone', { claims, policy: waits })
  expect(await outcomes(next.store, claim('l', 'a/3'))).toEqual(['first'])
  const elsewhere = opened('elsewhere', { claims, policy: waits })
  expect(await outcomes(elsewhere.store, claim('k', 'b/1'), claim('l', 'b/2'))).toEqual(['duplicate', 'duplicate'])
  await next.store.close()
  await next.stores.forget()
  expect(existsSync(claimsFolder(localDir, contextOf('alone')))).toBe(false)
})

test('back with its store it says so, with what others had claimed meanwhile, once', async () => {
  const claims = overRedis()
  const alone = opened('back', { claims, policy: { policy: 'local' } })
  const elsewhere = opened('meanwhile', { claims, policy: waits })
  expect(await outcomes(alone.store, claim('there', 'a/0'))).toEqual(['first'])
  expect(alone.news).toEqual([])
  proxy.cut()
  expect(await outcomes(alone.store, claim('k', 'a/1'))).toEqual(['first'])
  proxy.mend()
  expect(await outcomes(elsewhere.store, claim('k', 'b/1'))).toEqual(['first'])
  await expect.poll(() => outcomes(alone.store, claim('k', 'a/1')).then(() => alone.news.length)).toBe(2)
  expect(alone.news).toMatchObject([
    { is: 'degraded', claims: 0 },
    { is: 'restored', claims: 1 },
  ])
})

test('a folder that is still open is waited for like a store that is away, and other subtasks have their own', async () => {
  const claims = overRedis()
  const before = opened('locked', { claims, policy: waits })
  await outcomes(before.store, claim('k', 'a/1'))
  const other = opened('locked', { claims, policy: waits, subtask: 1 })
  expect(await outcomes(other.store, claim('k', 'b/1'))).toEqual(['duplicate'])
  const refused = opened('locked', { claims })
  await expect(refused.store.claim([claim('l', 'a/2')], signal)).rejects.toMatchObject({
    code: 'CLAIMS_UNAVAILABLE',
    facts: expect.objectContaining({ last: expect.stringContaining('is open in another process') as string }) as object,
  })
  const after = opened('locked', { claims, policy: waits })
  const waiting = outcomes(after.store, claim('l', 'a/2'))
  await before.store.close()
  expect(await waiting).toEqual(['first'])
})

test('in a job: of each payment one comes out, though two jobs read it three times each', async () => {
  const [payments, paid] = [`payments-${run}`, `paid-${run}`]
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [payments, paid], 1)
  await admin.disconnect()
  const input = Array.from({ length: 3_000 }, (_, i) => JSON.stringify({ id: i % 1_000 })).join('\n')
  execFileSync('kcat', ['-b', endpoints.kafka, '-P', '-t', payments], { input })
  const shared = `jobs-${run}`
  const once = (name: string) =>
    job(`${name}-${run}`, (flow) => {
      const source = flow.from(kafkaOf.topic(payments, { value: json<{ id: number }>(), until: 'latest' }), 'in')
      const passed = source.idempotent('once', {
        bizKey: ({ id }) => id,
        store: overRedis({}, shared),
      })
      passed.to(kafkaOf.sink(paid, { value: json() }), 'out')
    })
  for (const name of ['first', 'second'])
    await runBounded(once(name), {
      kafka,
      claims: (node, context) =>
        claimsOf(node, context, { clock: systemClock, localDir, tiered: new TieredStores() }, () => undefined),
    })
  const out = execFileSync('kcat', ['-b', endpoints.kafka, '-C', '-t', paid, '-e', '-q', '-f', '%s\n'], {
    encoding: 'utf8',
  })
  const ids = out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: number }).id)
  expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
})
