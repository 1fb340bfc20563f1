/**
 * TiKV's RawKV: keys to values, each with a time to live, and compare-and-swap. Drives the machine of region-call.ts: finds
 * the region, asks its leader, does what the machine makes of the answer. Every write carries `for_cas`, since writes
 * without it are not ordered with compare-and-swap.
 */
import type { Clock, Random } from '@weir/model'
import type { ClientUnaryCall } from '@grpc/grpc-js'
import type { errorpb, kvrpcpb, tikvpb } from '@weir/proto/tikv'
import type { Answer, Call, Channels } from './channels.ts'
import type { KeyCodec } from './key-codec.ts'
import { PdFailure, type PlacementDriver } from './placement-driver.ts'
import { begin, outOfTime, step, type CallEffect, type CallEvent, type CallState, type Sent } from './region-call.ts'
import { holds, peerToAsk, type Peer, type Region } from './region.ts'
import { Regions } from './regions.ts'
import type { Stores } from './stores.ts'

/** One try may take this part of what is left, so that a store that hangs leaves time for another one. */
const TRY_SHARE = 2

export interface RawKvOptions {
  /** Longest time of a call with all its tries, ms. */
  readonly deadlineMs: number
}

export interface RawKvDependencies {
  readonly channels: Channels
  readonly pd: PlacementDriver
  readonly stores: Stores
  readonly codec: KeyCodec
  readonly clock: Clock
  readonly random: Random
}

/** `previous`: what was there; null: nothing. */
export interface Swapped {
  readonly swapped: boolean
  readonly previous: Buffer | null
}

interface Response {
  readonly regionError: errorpb.Error | undefined
  readonly error?: string
}

/** One try: to this store, with this context, in this time. */
type Send<A> = (address: string, context: kvrpcpb.Context, timeoutMs: number, region: Region) => Promise<Answer<A>>
/** What every generated method takes behind its request. */
type Unary<A> = Parameters<Call<tikvpb.TikvClient, A>> extends [unknown, ...infer U] ? U : never
type Rpc<A> = (client: tikvpb.TikvClient, context: kvrpcpb.Context, ...unary: Unary<A>) => ClientUnaryCall
type Moment = Pick<CallEvent, 'now' | 'random'>
type Happened = CallEvent extends infer E ? (E extends CallEvent ? Omit<E, keyof Moment> : never) : never

export class RawKv {
  readonly #regions: Regions
  readonly #options: RawKvOptions
  readonly #deps: RawKvDependencies

  constructor(options: RawKvOptions, deps: RawKvDependencies) {
    this.#options = options
    this.#deps = deps
    this.#regions = new Regions(deps)
  }

  async get(key: Buffer, signal: AbortSignal): Promise<Buffer | null> {
    const wire = this.#deps.codec.toWire(key)
    const { value, notFound } = await this.#ask(
      wire,
      false,
      signal,
      (client, context, ...unary: Unary<kvrpcpb.RawGetResponse>) =>
        client.rawGet({ context, key: wire, cf: '' }, ...unary),
    )
    return notFound ? null : value
  }

  /** @returns by `key.toString('latin1')`; absent keys are left out */
  async batchGet(keys: readonly Buffer[], signal: AbortSignal): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>()
    const wires = keys.map((key) => this.#deps.codec.toWire(key))
    const deadline = this.#deps.clock.monotonic() + this.#options.deadlineMs
    await this.#regions.warmUp(wires, deadline, signal)
    for (let open = wires; open.length > 0;) {
      const rest = this.#regions.group(open).map((group) => this.#getGroup(group, deadline, found, signal))
      open = (await Promise.all(rest)).flat()
    }
    return found
  }

  /** @param ttlSeconds 0 = for ever */
  async put(key: Buffer, value: Buffer, ttlSeconds: number, signal: AbortSignal): Promise<void> {
    const wire = this.#deps.codec.toWire(key)
    await this.#ask(wire, true, signal, (client, context, ...unary: Unary<kvrpcpb.RawPutResponse>) =>
      client.rawPut({ context, key: wire, value, cf: '', ttl: BigInt(ttlSeconds), forCas: true }, ...unary),
    )
  }

  /**
   * Puts `value` where `expected` is; null: where nothing is.
   *
   * When an answer was lost it is sent again, and then says `swapped: false` with the value itself as previous although it
   * has won: values must tell whose they are.
   */
  async compareAndSwap(
    key: Buffer,
    expected: Buffer | null,
    value: Buffer,
    ttlSeconds: number,
    signal: AbortSignal,
  ): Promise<Swapped> {
    const wire = this.#deps.codec.toWire(key)
    const swap = {
      key: wire,
      value,
      previousNotExist: expected === null,
      previousValue: expected ?? Buffer.alloc(0),
      cf: '',
      ttl: BigInt(ttlSeconds),
    }
    const answer = await this.#ask(wire, true, signal, (client, context, ...unary: Unary<kvrpcpb.RawCASResponse>) =>
      client.rawCompareAndSwap({ context, ...swap }, ...unary),
    )
    return { swapped: answer.succeed, previous: answer.previousNotExist ? null : answer.previousValue }
  }

  async delete(key: Buffer, signal: AbortSignal): Promise<void> {
    const wire = this.#deps.codec.toWire(key)
    await this.#ask(wire, true, signal, (client, context, ...unary: Unary<kvrpcpb.RawDeleteResponse>) =>
      client.rawDelete({ context, key: wire, cf: '', forCas: true }, ...unary),
    )
  }

  /** Seconds left; 0 = for ever; null: nothing there. */
  async ttl(key: Buffer, signal: AbortSignal): Promise<number | null> {
    const wire = this.#deps.codec.toWire(key)
    const { ttl, notFound } = await this.#ask(
      wire,
      false,
      signal,
      (client, context, ...unary: Unary<kvrpcpb.RawGetKeyTTLResponse>) =>
        client.rawGetKeyTtl({ context, key: wire, cf: '' }, ...unary),
    )
    return notFound ? null : Number(ttl)
  }

  #ask<A extends Response>(wire: Buffer, write: boolean, signal: AbortSignal, rpc: Rpc<A>): Promise<A> {
    return this.#call(wire, write, signal, (address, context, timeoutMs) =>
      this.#deps.channels.ask(address, 'kv', timeoutMs, signal, (client, ...unary: Unary<A>) =>
        rpc(client, context, ...unary),
      ),
    )
  }

  // ---- one call ---------------------------------------------------------------------------------------------------

  async #call<A extends Response>(wire: Buffer, write: boolean, signal: AbortSignal, send: Send<A>): Promise<A> {
    const { clock, random } = this.#deps
    let state = begin(clock.monotonic() + this.#options.deadlineMs, write)
    for (;;) {
      const tried = await this.#try(wire, state, signal, send)
      if (tried.type === 'answered') return tried.response
      const next = step(state, { ...tried, now: clock.monotonic(), random: random.next() })
      state = next.state
      await this.#perform(next.effects, signal)
    }
  }

  async #try<A extends Response>(
    wire: Buffer,
    state: CallState,
    signal: AbortSignal,
    send: Send<A>,
  ): Promise<{ readonly type: 'answered'; readonly response: A } | Happened> {
    const { clock, stores } = this.#deps
    try {
      const region = await this.#regions.of(wire, state.deadline, signal)
      const peer = region === null ? null : peerToAsk(region, stores.isUnreachable)
      if (region === null || peer === null) return { type: 'pdFailed', message: 'PD knows no region for the key' }
      const sent: Sent = { regionId: region.id, epoch: region.epoch, storeId: peer.storeId }
      const store = await stores.address(peer.storeId, state.deadline, signal)
      if (store.gone) return { type: 'tombstone', sent }
      const timeoutMs = Math.ceil((state.deadline - clock.monotonic()) / TRY_SHARE)
      const answer = await send(store.address, this.#context(region, peer, state.tries > 1), timeoutMs, region)
      if (!answer.ok)
        return answer.kind === 'refused'
          ? { type: 'refused', message: answer.message }
          : { type: answer.kind, message: `${store.address}: ${answer.message}`, sent }
      const { regionError, error } = answer.value
      if (regionError !== undefined) return { type: 'regionError', error: regionError, sent }
      if (error !== undefined && error !== '') return { type: 'refused', message: error }
      return { type: 'answered', response: answer.value }
    } catch (error) {
      if (error instanceof PdFailure) return { type: 'pdFailed', message: error.message }
      throw error
    }
  }

  #context({ id, epoch }: Region, peer: Peer, retry: boolean): kvrpcpb.Context {
    const { codec, pd } = this.#deps
    return {
      regionId: id,
      regionEpoch: epoch,
      peer: { ...peer, role: 0, isWitness: false },
      maxExecutionDurationMs: BigInt(this.#options.deadlineMs),
      isRetryRequest: retry,
      apiVersion: codec.apiVersion,
      requestSource: 'weir',
      keyspaceId: codec.keyspaceId,
      clusterId: pd.clusterId,
    }
  }

  async #perform(effects: readonly CallEffect[], signal: AbortSignal): Promise<void> {
    const { clock, stores } = this.#deps
    for (const effect of effects)
      switch (effect.type) {
        case 'dropRegion':
          this.#regions.cache.drop(effect.regionId)
          break
        case 'lead':
          stores.markReachable(effect.storeId)
          if (!this.#regions.cache.lead(effect.regionId, effect.storeId)) this.#regions.cache.drop(effect.regionId)
          break
        case 'insertRegions':
          for (const region of effect.regions) this.#regions.cache.insert(region, clock.monotonic())
          break
        case 'dropStore':
          stores.drop(effect.storeId)
          this.#regions.cache.dropLedBy(effect.storeId)
          break
        case 'unreachable':
          stores.markUnreachable(effect.storeId)
          break
        case 'pause':
          await clock.sleep(effect.ms, signal)
          break
        case 'fail':
          throw effect.error
        case 'send':
          break
      }
  }

  /** @returns what is still to be asked for: the region may hold less by now than when the keys were grouped */
  async #getGroup(
    wires: readonly Buffer[],
    deadline: number,
    found: Map<string, Buffer>,
    signal: AbortSignal,
  ): Promise<readonly Buffer[]> {
    const { channels, clock, codec, random } = this.#deps
    let state = begin(deadline, false)
    for (;;) {
      let keys: readonly Buffer[] = []
      const tried = await this.#try(wires[0]!, state, signal, (address, context, timeoutMs, region) => {
        keys = wires.filter((wire) => holds(region, codec.toBoundary(wire)))
        return channels.ask(address, 'kv', timeoutMs, signal, (client, ...unary: Unary<kvrpcpb.RawBatchGetResponse>) =>
          client.rawBatchGet({ context, keys: [...keys], cf: '' }, ...unary),
        )
      })
      if (tried.type === 'answered') {
        for (const { error, key, value } of tried.response.pairs) {
          if (error !== undefined) throw outOfTime(state, error.abort)
          found.set(codec.fromWire(key).toString('latin1'), value)
        }
        const answered = new Set(keys)
        return wires.filter((wire) => !answered.has(wire))
      }
      const next = step(state, { ...tried, now: clock.monotonic(), random: random.next() })
      state = next.state
      await this.#perform(next.effects, signal)
    }
  }
}
