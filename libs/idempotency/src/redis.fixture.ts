/** Redis servers of a test's own: a cluster, or a primary with its replica and sentinels, as processes on loopback. */
import type { Claim } from '@weir/dataflow'
import { attempt, generation } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Redis } from 'ioredis'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RedisLink } from './redis-link.ts'
import type { RedisAddress } from './redis-url.ts'

export const claimOf = (origin: string, bizKey: string, change: Partial<Claim> = {}): Claim => ({
  ...{ key: { bizKey, eventType: 'paid' }, fingerprint: 'f', origin, eventTime: 1_750_000_000_000 },
  ...{ attempt: { generation: generation(1), attempt: attempt(1) }, ...change },
})

/** Resolves when it answers. */
export async function linked(address: RedisAddress): Promise<RedisLink> {
  const link = new RedisLink(address, systemClock)
  const { signal } = new AbortController()
  for (let i = 0; ; i++) {
    try {
      await link.call('get', ['weir:hello'], signal)
      return link
    } catch (error) {
      if (i >= 200) throw error
      await systemClock.sleep(25)
    }
  }
}

const freePorts = async (count: number): Promise<number[]> => {
  const held = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = held.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(held.map((server) => once(server.close(), 'close')))
  return ports
}

export interface RedisProcess {
  readonly port: number
  readonly child: ChildProcess
  readonly admin: Redis
}

export class RedisServers {
  readonly #dir: string
  readonly all: RedisProcess[] = []

  private constructor(dir: string) {
    this.#dir = dir
  }

  static async inFolder(): Promise<RedisServers> {
    return new RedisServers(await mkdtemp(join(tmpdir(), 'weir-redis-')))
  }

  ports(count: number): Promise<number[]> {
    return freePorts(count)
  }

  async start(port: number, options: Readonly<Record<string, string>>, sentinel?: string): Promise<RedisProcess> {
    const dir = join(this.#dir, String(port))
    await mkdir(dir, { recursive: true })
    const all = { bind: '127.0.0.1', port: String(port), dir, save: '', ...options }
    const lines = Object.entries(all).map(([name, value]) => `${name} ${value === '' ? '""' : value}`)
    const config = join(dir, 'redis.conf')
    await writeFile(config, [...lines, sentinel ?? ''].join('\n'))
    const child = spawn('redis-server', [config, ...(sentinel === undefined ? [] : ['--sentinel'])], {
      stdio: 'ignore',
    })
    process.once('exit', () => child.kill('SIGKILL'))
    const admin = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50, maxRetriesPerRequest: 100 })
    admin.on('error', () => {})
    await admin.ping()
    const started = { port, child, admin }
    this.all.push(started)
    return started
  }

  async kill({ child, admin }: RedisProcess): Promise<void> {
    admin.disconnect()
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((of) => this.kill(of)))
    await rm(this.#dir, { recursive: true, force: true })
  }
}

/** Until it is so, asked every 100 ms. */
export async function until(what: string, isSo: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await systemClock.sleep(100)
  }
}
