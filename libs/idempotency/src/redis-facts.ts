/** What `weir doctor` asks a Redis. Reads only; a managed one may not let its configuration be read. */
import type { RedisFacts } from '@weir/dataflow'
import { asWeirError, type Clock, type WeirError } from '@weir/model'
import { RedisLink } from './redis-link.ts'
import type { RedisAddress } from './redis-url.ts'

/** Until there is a connection nothing is sent. */
const RETRY_MS = 50

export interface RedisObserved {
  readonly facts: RedisFacts
  /** Its clock − ours, ms. */
  readonly clock: { readonly offsetMs: number; readonly uncertaintyMs: number }
}

/** Until `signal`, then throws why it has not answered: `CLAIM_TIER_UNAVAILABLE` (retry), `REDIS_REFUSED` (invalid). */
export async function observeRedis(address: RedisAddress, clock: Clock, signal: AbortSignal): Promise<RedisObserved> {
  const link = new RedisLink(address, clock)
  try {
    for (;;) {
      try {
        const facts = await factsOf(link, signal)
        return { facts, clock: await offsetOf(link, clock, signal) }
      } catch (thrown) {
        const error = asWeirError(thrown, 'CLAIM_TIER_UNAVAILABLE', 'retry')
        if (error.kind === 'invalid' || signal.aborted) throw error
        await clock.sleep(RETRY_MS, signal).catch(() => {
          throw error
        })
      }
    }
  } finally {
    await link.close()
  }
}

async function factsOf(link: RedisLink, signal: AbortSignal): Promise<RedisFacts> {
  const ask = (section: string): Promise<ReadonlyMap<string, string>> =>
    link.call('INFO', [section], signal).then((text) => fieldsOf(String(text)))
  const config = async (name: string): Promise<string | null> => {
    const answer = await link.call('CONFIG', ['GET', name], signal).catch((error: WeirError) => {
      if (error.kind === 'invalid') return null // it may not be asked for
      throw error
    })
    return Array.isArray(answer) && answer.length > 1 ? String(answer[1]) : null
  }
  const [memory, persistence, replication, appendFsync, save, minReplicas] = await Promise.all([
    ask('memory'),
    ask('persistence'),
    ask('replication'),
    config('appendfsync'),
    config('save'),
    config('min-replicas-to-write'),
  ])
  return {
    evictionPolicy: memory.get('maxmemory_policy') ?? 'noeviction',
    maxmemoryBytes: Number(memory.get('maxmemory') ?? 0),
    usedBytes: Number(memory.get('used_memory') ?? 0),
    appendOnly: persistence.get('aof_enabled') === '1',
    appendFsync,
    snapshots: save === null ? null : save !== '',
    replicas: Number(replication.get('connected_slaves') ?? 0),
    minReplicasToWrite: minReplicas === null ? null : Number(minReplicas),
  }
}

/** Cristian: its answer is of some moment between our question and its arrival. */
async function offsetOf(link: RedisLink, clock: Clock, signal: AbortSignal): Promise<RedisObserved['clock']> {
  const from = clock.now()
  const [seconds, micros] = (await link.call('TIME', [], signal)) as readonly [string, string]
  const half = (clock.now() - from) / 2
  return { offsetMs: Number(seconds) * 1_000 + Number(micros) / 1_000 - (from + half), uncertaintyMs: half }
}

/** `name:value` lines. */
const fieldsOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split('\r\n').flatMap((line) => {
      const at = line.indexOf(':')
      return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
    }),
  )
