/**
 * A connection to Redis that answers soon or fails soon: nothing is queued while it is away, nothing is sent twice by itself, a
 * server that does not answer is left and connected to again. Whoever asks repeats; what was under way may have been done.
 */
import { PoolMeter, WeirError, type Clock } from '@weir/model'
import { createHash } from 'node:crypto'
import { Cluster, Redis, ReplyError, type ClusterOptions, type RedisOptions } from 'ioredis'
import type { RedisAddress } from './redis-url.ts'

/** No answer within it: the server hangs, or the network has dropped the connection without a word. */
export const REDIS_ANSWER_MS_MAX = 2_000
const CONNECT_MS_MAX = 1_000
const RECONNECT_MS_MAX = 500

export interface RedisScript {
  readonly text: string
  readonly sha: string
}

export const script = (text: string): RedisScript => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/** Fewer than `replicas` of them had it in time: then it counts as not written. */
export interface RedisWait {
  readonly replicas: number
  readonly timeoutMs: number
}

type Argument = string | number

export class RedisLink {
  readonly #redis: Redis | Cluster
  readonly #clock: Clock
  readonly #first: Promise<void>
  readonly #meter: PoolMeter
  #asking = 0
  readonly isCluster: boolean
  #isClosed = false
  #refusal: Error | null = null
  #cancelLook: () => void = () => {}
  /** Goes up with every connection to a server: what was acknowledged before may be gone on it. */
  connections = 0

  constructor(address: RedisAddress, clock: Clock) {
    this.#clock = clock
    this.isCluster = address.kind === 'cluster'
    this.#redis = connect(address)
    this.#meter = new PoolMeter('redis-claims', clock, () => {
      // Nothing queues in front of a connection: what is asked is on its way, or fails at once.
      return { open: openOf(this.#redis), busy: this.#asking, waiting: 0, max: null }
    })
    // What fails a call tells the call; only why there is no connection is told here.
    this.#redis.on('error', (error: Error) => (this.#refusal = isRefusal(error.message) ? error : null))
    const connected = (): void => {
      this.#refusal = null
      this.connections++
    }
    // A node of a cluster that comes or goes: its slots may be where what was acknowledged is not.
    for (const event of this.isCluster ? ['+node', '-node'] : ['ready']) this.#redis.on(event, connected)
    // A frozen server takes a connection and says nothing on it, and whether it is ready is asked without a bound.
    this.#redis.on('connect', () => {
      this.#cancelLook()
      this.#cancelLook = clock.after(REDIS_ANSWER_MS_MAX, () => {
        if (this.#redis.status === 'connect') this.#redis.disconnect(true)
      })
    })
    this.#first = this.#redis.connect().catch(() => {}) // it goes on trying
  }

  /** Resolves when it is connected, or cannot be at first: who asks at once finds a server that is there. */
  async settled(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#first, this.#clock.sleep(CONNECT_MS_MAX, signal)])
  }

  /** One script on keys of one slot. Throws `CLAIM_TIER_UNAVAILABLE`, `CLAIM_TIER_CORRUPT`, `CLAIM_TIER_CLOSED`, `REDIS_REFUSED`. */
  async run(
    of: RedisScript,
    keys: readonly string[],
    args: readonly Argument[],
    signal: AbortSignal,
    wait: RedisWait | null = null,
  ): Promise<unknown> {
    const behind = args.map(String)
    const send = async (command: 'EVALSHA' | 'EVAL', body: string): Promise<unknown> => {
      const all = [body, String(keys.length), ...keys, ...behind]
      if (wait === null) return this.#redis.call(command, all)
      // On one connection, one behind the other: the second speaks of the first.
      const single = this.#redis as Redis
      const [answer, reached] = await Promise.all([
        single.call(command, all),
        single.call('WAIT', [String(wait.replicas), String(wait.timeoutMs)]),
      ])
      if (Number(reached) < wait.replicas) throw new TooFewReplicas(Number(reached), wait)
      return answer
    }
    return this.#asked(
      async () => {
        try {
          return await send('EVALSHA', of.sha)
        } catch (error) {
          if (!messageOf(error).startsWith('NOSCRIPT')) throw error
          return await send('EVAL', of.text) // which loads it
        }
      },
      signal,
      wait === null ? REDIS_ANSWER_MS_MAX : REDIS_ANSWER_MS_MAX + wait.timeoutMs,
    )
  }

  async call(command: string, args: readonly string[], signal: AbortSignal): Promise<unknown> {
    return this.#asked(() => this.#redis.call(command, [...args]), signal, REDIS_ANSWER_MS_MAX)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelLook()
    this.#meter.close()
    this.#redis.disconnect()
    return Promise.resolve()
  }

  async #asked(ask: () => Promise<unknown>, signal: AbortSignal, answerMsMax: number): Promise<unknown> {
    signal.throwIfAborted()
    if (this.#isClosed) throw closed()
    let stop = (): void => {}
    const ended = new Promise<never>((_, reject) => {
      const cancel = this.#clock.after(answerMsMax, () => {
        this.#redis.disconnect(true)
        reject(unavailable(`it has not answered within ${answerMsMax} ms`, undefined))
      })
      const aborted = (): void => reject(signal.reason as Error)
      signal.addEventListener('abort', aborted, { once: true })
      stop = () => {
        cancel()
        signal.removeEventListener('abort', aborted)
      }
    })
    this.#asking++
    try {
      const answer = ask()
      answer.catch(() => {}) // it may come behind its time
      return await Promise.race([answer, ended])
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw told(error instanceof WeirError || isAnswer(error) ? error : (this.#refusal ?? error), this.#isClosed)
    } finally {
      this.#asking--
      stop()
    }
  }
}

const openOf = (redis: Redis | Cluster): number =>
  redis instanceof Cluster ? redis.nodes().filter(isReady).length : isReady(redis) ? 1 : 0
const isReady = ({ status }: Redis): boolean => status === 'ready'

function connect({ kind, tls, hosts, username, password, db, primary }: RedisAddress): Redis | Cluster {
  const options: RedisOptions = {
    ...{ username, password, lazyConnect: true, connectTimeout: CONNECT_MS_MAX, keepAlive: 5_000 },
    ...{ enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 },
    retryStrategy: (times) => Math.min(20 * 2 ** Math.min(times, 8), RECONNECT_MS_MAX),
    // Who was the primary before a fail-over answers reads on and on.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(tls && { tls: {} }),
  }
  if (kind === 'single') return new Redis({ ...options, host: hosts[0]!.host, port: hosts[0]!.port, db })
  if (kind === 'sentinel')
    return new Redis({
      ...options,
      ...{ sentinels: [...hosts], name: primary!, ...(tls && { enableTLSForSentinelMode: true }) },
      sentinelRetryStrategy: (times) => Math.min(20 * 2 ** Math.min(times, 8), RECONNECT_MS_MAX),
    })
  const ofCluster: ClusterOptions = {
    ...{ redisOptions: options, lazyConnect: true, enableOfflineQueue: false, maxRedirections: 16 },
    ...{ retryDelayOnFailover: 100, retryDelayOnClusterDown: 100, slotsRefreshTimeout: CONNECT_MS_MAX },
    clusterRetryStrategy: (times) => Math.min(20 * 2 ** Math.min(times, 8), RECONNECT_MS_MAX),
  }
  return new Cluster([...hosts], ofCluster)
}

class TooFewReplicas extends Error {
  constructor(reached: number, { replicas, timeoutMs }: RedisWait) {
    super(`${reached} of ${replicas} replicas had it within ${timeoutMs} ms`)
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Of the server, to a command that reached it. */
const isAnswer = (error: unknown): boolean => error instanceof ReplyError

/** What no repetition mends. */
const REFUSALS = ['NOAUTH', 'WRONGPASS', 'NOPERM', 'ERR unknown command', 'ERR invalid password', 'CROSSSLOT']

const isRefusal = (message: string): boolean => REFUSALS.some((word) => message.startsWith(word))

function told(error: unknown, isClosed: boolean): WeirError {
  if (error instanceof WeirError) return error
  if (isClosed) return closed()
  const message = messageOf(error)
  if (message.includes('CLAIMSFOREIGN') || message.includes('WRONGTYPE'))
    return new WeirError(
      { code: 'CLAIM_TIER_CORRUPT', kind: 'invalid' },
      `Redis holds something else under the key of a claim (${message}). Give the claims a namespace of their own.`,
    )
  if (isRefusal(message))
    return new WeirError({ code: 'REDIS_REFUSED', kind: 'invalid' }, `Redis refuses: ${message}`, { cause: error })
  return unavailable(message, error)
}

const unavailable = (why: string, cause: unknown): WeirError =>
  new WeirError({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry', why }, `Redis is not there: ${why}`, { cause })

const closed = (): WeirError =>
  new WeirError({ code: 'CLAIM_TIER_CLOSED', kind: 'restart' }, 'the connection to Redis was closed')
