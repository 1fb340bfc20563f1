/** Worker ids on a real etcd: two generators never hold one, whatever happens to their processes. */
import { WeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { randomUUID } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { afterEach, describe, expect, test } from 'vitest'
import { stackEndpoints } from '../../../../test/stack/endpoints.ts'
import { EtcdWorkerIds, dtxIds63, parseDtxId, type DtxIds } from '../index.ts'
import type { Mark } from './worker-lease.ts'

const { etcd } = stackEndpoints()
const TTL_MS = 2_000
const settings = { datacenter: 5, ttlMs: TTL_MS, marginMs: 200, markAheadMs: 2_000, retryMs: 50 }
const ours = { now: () => Promise.resolve(Date.now()), close: () => undefined }
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const cluster = (): string => `dtxid-${randomUUID()}`
function workerIds(name: string, hosts = [etcd]): EtcdWorkerIds {
  return new EtcdWorkerIds({ hosts, cluster: name, datacenter: 5, ttlMs: TTL_MS })
}
function open(name: string, workers = 4): DtxIds<bigint> {
  const deps = { clock: systemClock, random: systemRandom, fleet: ours, workers: workerIds(name) }
  const ids = dtxIds63({ ...settings, workers }, deps)
  closing.push(() => ids.close())
  return ids
}

describe('the keys', () => {
  test('a held id is refused; a renewed lease stays, a revoked one is gone', async () => {
    const workers = workerIds(cluster())
    closing.push(() => workers.close())
    const won = (await workers.claim(7, 'a'))!
    expect(won.mark).toEqual({ value: 0, revision: null })
    expect(await workers.claim(7, 'b')).toBeNull()
    expect(await workers.list()).toEqual({ taken: new Set([7]), marks: new Map() })
    expect(await workers.renew(won.holder)).toBe(true)
    await workers.giveBack(won.holder)
    expect(await workers.renew(won.holder)).toBe(false)
    expect((await workers.list()).taken).toEqual(new Set())
  })

  test('a mark is raised by its holder only, and only from the revision that is known; it outlives the lease', async () => {
    const workers = workerIds(cluster())
    closing.push(() => workers.close())
    const first = (await workers.claim(7, 'a'))!
    const { mark } = (await workers.extend(first.holder, 100, null)) as { mark: Mark }
    expect(mark.value).toBe(100)
    const higher = (await workers.extend(first.holder, 200, mark.revision)) as { mark: Mark }
    // Sent before that one, and late.
    expect(await workers.extend(first.holder, 150, mark.revision)).toEqual({ kind: 'moved', mark: higher.mark })
    await workers.giveBack(first.holder)
    const second = (await workers.claim(7, 'b'))!
    expect(second.mark).toEqual(higher.mark)
    expect(await workers.extend(first.holder, 300, higher.mark.revision)).toEqual({ kind: 'gone' })
    // A restored etcd may give the same revision to somebody else.
    expect(await workers.extend({ ...second.holder, nonce: 'a' }, 300, higher.mark.revision)).toEqual({ kind: 'gone' })
    expect((await workers.list()).marks).toEqual(new Map([[7, 200]]))
  })

  test('an etcd that is away is said so', async () => {
    const workers = workerIds(cluster(), ['127.0.0.1:1'])
    closing.push(() => workers.close())
    await expect(workers.list()).rejects.toMatchObject({ code: 'DTXID_UNAVAILABLE', kind: 'retry' })
  })
})

test('generators that begin together hold different worker ids; one too many waits until one is given back', async () => {
  const name = cluster()
  const four = [1, 2, 3, 4].map(() => open(name))
  const ids = await Promise.all(four.map((ids) => ids.take()))
  expect(new Set(ids.map((id) => parseDtxId(id).worker))).toEqual(new Set([0, 1, 2, 3]))
  const fifth = open(name)
  await expect(fifth.take(500)).rejects.toMatchObject({ code: 'DTXID_LEASE_LOST', kind: 'retry' })
  // Between two pauses it looks again, and says nothing.
  await expect.poll(() => fifth.status.why, { interval: 5 }).toBe('all 4 worker ids of this datacenter are held')
  const free = four[2]!.status.worker
  await four[2]!.close()
  expect(() => four[2]!.next()).toThrow(expect.objectContaining({ code: 'DTXID_LEASE_LOST' }))
  expect(parseDtxId(await fifth.take(10_000)).worker).toBe(free)
})

test('what has not been given a worker id yet throws with the duty to try again', () => {
  const ids = open(cluster())
  expect(() => ids.next()).toThrow(WeirError)
  expect(() => ids.nextMany(3)).toThrow(expect.objectContaining({ code: 'DTXID_LEASE_LOST', kind: 'retry' }))
})

/** One generator in a process of its own: it answers `next` with an id or a code. */
class Peer {
  readonly child: ChildProcess
  readonly #lines: Interface
  readonly #answers: AsyncIterator<string>

  constructor(name: string) {
    const flags = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
    const file = new URL('./testing/peer.ts', import.meta.url).pathname
    const args = [...flags, file, etcd, name, JSON.stringify({ ...settings, workers: 1 })]
    this.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.child.stdout! })
    this.#answers = this.#lines[Symbol.asyncIterator]()
    closing.push(() => this.child.kill('SIGKILL'))
  }

  async ask(what: 'next' | 'take'): Promise<string> {
    this.child.stdin!.write(`${what}\n`)
    return (await this.#answers.next()).value as string
  }
}

test('frozen beyond its lease a process refuses to give out ids; its successor began above the mark', async () => {
  const name = cluster()
  const first = new Peer(name)
  const before = BigInt(await first.ask('take'))
  first.child.kill('SIGSTOP')
  const second = new Peer(name)
  const after = BigInt(await second.ask('take')) // when the lease of the first is over
  first.child.kill('SIGCONT')
  expect(await first.ask('next')).toBe('DTXID_LEASE_LOST')
  const watcher = workerIds(name)
  closing.push(() => watcher.close())
  expect(parseDtxId(after).time).toBeGreaterThanOrEqual(parseDtxId(before).time + TTL_MS)
  expect((await watcher.list()).taken).toEqual(new Set([0]))
  expect(BigInt(await second.ask('next'))).toBeGreaterThan(after)
})

test('killed, and its id leased again: the next holder begins above the mark and a lease', async () => {
  const name = cluster()
  const watcher = workerIds(name)
  closing.push(() => watcher.close())
  const first = new Peer(name)
  const before = BigInt(await first.ask('take'))
  first.child.kill('SIGKILL')
  const mark = (await watcher.list()).marks.get(0)!
  expect(parseDtxId(before).time).toBeLessThan(mark)
  const second = new Peer(name)
  expect(parseDtxId(BigInt(await second.ask('take'))).time).toBeGreaterThanOrEqual(mark + TTL_MS)
})
