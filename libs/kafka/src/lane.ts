/** Drives the machine of one transactional id (`transaction.ts`): sends what it says, reports what was answered. */
import { SUSPENDED_MS, WeirError, assert, type Clock } from '@weir/model'
import { retryDelayMs, type Addressee, type KafkaConnections } from './connections.ts'
import { ProduceRequests, type OutgoingBatch } from './produce-requests.ts'
import { newLane, preparedLane, step } from './transaction.ts'
import { isAwaited } from './transaction-answers.ts'
import {
  nameOf,
  type Answer,
  type LaneEffect,
  type LaneEvent,
  type LanePhase,
  type LaneState,
  type Marker,
  type Place,
  type TransactionRequest,
  type Tried,
} from './transaction-state.ts'
import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  describeTransactions,
  endTxn,
  initProducerId,
  produce,
  txnOffsetCommit,
  type ApiCall,
  type ProducerIdentity,
  type Protocol,
} from './wire/apis.ts'
import type { UnstampedBatch } from './wire/records.ts'

export interface TransactionLaneOptions {
  readonly transactionalId: string
  readonly protocol: Protocol
  readonly transactionTimeoutMs: number
}

export interface TransactionLaneDeps {
  readonly kafka: KafkaConnections
  readonly clock: Clock
  /** Ends every wait but that of `abort`. */
  readonly signal: AbortSignal
  /** Bytes of `append` that are in the log, or given up with the lane. */
  readonly released: (bytes: number) => void
}

export interface AppendOptions {
  /** Sent when this resolves, and not earlier. It must not reject. */
  readonly after?: Promise<unknown>
  /** Gets the bytes as they are sent. */
  readonly stamped?: (bytes: Buffer) => void
  /** The broker will never take the batch: what the lane fails with instead. */
  readonly refused?: (error: WeirError) => WeirError
}

interface HeldBatch extends AppendOptions {
  readonly builder: UnstampedBatch
  bytes: Buffer | null
}

type Outcome = Exclude<LaneEffect['type'], 'send' | 'acknowledged' | 'failed'>
type OutcomeOf<T extends Outcome> = Extract<LaneEffect, { type: T }>

export class TransactionLane {
  readonly #options: TransactionLaneOptions
  readonly #deps: TransactionLaneDeps
  #state: LaneState
  #signal: AbortSignal
  #failure: unknown = null
  readonly #batches = new Map<number, HeldBatch>()
  readonly #produce: ProduceRequests
  #lastBatch = 0
  /** Commands under way, done in this order: a flush, and the mark behind it; else one at a time. */
  #commands: { resolve: (effect: LaneEffect) => void; reject: (error: unknown) => void }[] = []

  constructor(options: TransactionLaneOptions, deps: TransactionLaneDeps) {
    this.#options = options
    this.#deps = deps
    this.#signal = deps.signal
    this.#state = newLane(options.transactionalId, options.protocol)
    this.#produce = new ProduceRequests({
      leaderOf: (place) => deps.kafka.leaderOf(place),
      send: (nodeId, batches) => this.#askProduce({ nodeId }, batches, false),
    })
  }

  /** A transaction that this or another process has prepared. */
  static prepared(
    options: TransactionLaneOptions,
    identity: ProducerIdentity,
    sequence: number,
    deps: TransactionLaneDeps,
  ): TransactionLane {
    const lane = new TransactionLane(options, deps)
    lane.#state = preparedLane(options.transactionalId, options.protocol, identity, sequence)
    return lane
  }

  get transactionalId(): string {
    return this.#options.transactionalId
  }
  get phase(): LanePhase['phase'] {
    return this.#state.phase
  }
  /** Why it is `fenced` or `broken`, or what ended the attempt; else null. */
  get failure(): unknown {
    return this.#failure
  }
  /** The epoch of the transaction. */
  get identity(): ProducerIdentity {
    if (!('identity' in this.#state) || this.#state.identity === null) {
      throw new Error(`internal: ${this.transactionalId} has no epoch while ${this.phase}`)
    }
    return this.#state.identity
  }

  /** Takes the id over, whoever has it. For recovery only. */
  async fence(): Promise<void> {
    await this.#run<'initialised'>({ type: 'fence' })
  }

  /**
   * Adds a batch to the transaction and begins one where there is none. Any topic; order is kept per partition.
   * Dropped when the lane has failed (see `failure`).
   */
  append(place: Place, builder: UnstampedBatch, options: AppendOptions = {}): void {
    if (this.#failure !== null) return this.#deps.released(builder.bytes)
    const batch = ++this.#lastBatch
    this.#batches.set(batch, { ...options, builder, bytes: null })
    this.#step({ type: 'append', place, batch, records: builder.count })
  }

  /** Everything appended is in the log. @returns `topic-partition` → decimal offset of its first record. */
  async flush(): Promise<Readonly<Record<string, string>>> {
    return (await this.#run<'flushed'>({ type: 'flush' })).firstOffsets
  }

  /** After `flush`, at once or later: the marker joins the transaction. Resolves when all of it is prepared. */
  async mark(marker: Marker): Promise<'prepared' | 'empty'> {
    return (await this.#run<'prepared' | 'empty'>({ type: 'mark', marker })).type
  }

  /** Throws `COMMIT_REFUSED` (restart), `KAFKA_UNAVAILABLE` (retry): neither tells what became of the transaction. */
  async commit(): Promise<void> {
    await this.#run<'committed'>({ type: 'commit' })
  }

  /** The end of the lane: nothing of it stays open, unless its commit was commanded. */
  async abort(signal: AbortSignal): Promise<void> {
    this.#fail(new WeirError({ code: 'ABORTED', kind: 'restart' }, `${this.transactionalId} is aborted`))
    this.#signal = signal
    this.#failure = null
    await this.#run<'aborted'>({ type: 'abort' })
  }

  #run<T extends Outcome>(event: LaneEvent): Promise<OutcomeOf<T>> {
    if (this.#failure !== null) return Promise.reject(this.#failure as Error)
    return new Promise<OutcomeOf<T>>((resolve, reject) => {
      this.#commands.push({ resolve: resolve as (effect: LaneEffect) => void, reject })
      this.#step(event)
    })
  }

  #step(event: LaneEvent): void {
    const { state, effects } = step(this.#state, event)
    this.#state = state
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          void this.#send(effect.request, effect.tried, this.#signal)
          break
        case 'acknowledged':
          this.#release(effect.batch)
          break
        case 'failed':
          this.#fail(this.#blamed(event, effect.error))
          break
        default:
          this.#commands.shift()?.resolve(effect)
      }
    }
  }

  /** Whoever has appended the refused batch knows more of it. */
  #blamed(event: LaneEvent, error: WeirError): WeirError {
    if (event.type !== 'answered' || event.request.api !== 'Produce' || error.kind !== 'invalid') return error
    return this.#batches.get(event.request.batch)?.refused?.(error) ?? error
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    for (const batch of [...this.#batches.keys()]) this.#release(batch)
    for (const { reject } of this.#commands.splice(0)) reject(error)
  }

  #release(batch: number): void {
    const held = this.#batches.get(batch)
    if (held === undefined) return
    this.#batches.delete(batch)
    this.#deps.released(held.builder.bytes)
  }

  /** Batches of a partition leave in their order: none waits for anything here that those before it do not wait for. */
  async #send(request: TransactionRequest, tried: Tried, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    const began = clock.monotonic()
    const now = (): Tried => ({ times: tried.times + 1, forMs: tried.forMs + clock.monotonic() - began })
    const restMs = tried.times > 0 ? retryDelayMs(tried.times - 1) : 0
    let oversleptMs: number
    try {
      if (restMs > 0) await clock.sleep(restMs, signal)
      oversleptMs = clock.monotonic() - began - restMs
      if (request.api === 'Produce') await this.#batches.get(request.batch)?.after
      signal.throwIfAborted()
    } catch {
      // The attempt ends. Whether what was sent before is carried out, nobody can tell: recovery finds out.
      if (signal === this.#signal) this.#fail(signal.reason)
      return
    }
    // Aborted or failed meanwhile: what is not sent cannot come late and open a transaction again.
    if (!isAwaited(this.#state, request)) return
    if (oversleptMs >= SUSPENDED_MS) {
      this.#step({ type: 'overslept', request, byMs: oversleptMs })
      if (!isAwaited(this.#state, request)) return
    }
    let event: LaneEvent
    try {
      const answer = await this.#ask(request, tried.times > 0)
      if (answer === null) return
      event = { type: 'answered', request, answer, tried: now() }
    } catch (error) {
      event = { type: 'unanswered', request, reason: String(error), tried: now() }
    }
    this.#step(event)
  }

  /** Null: it was not sent, since nobody waits for it any more. */
  async #ask(request: TransactionRequest, again: boolean): Promise<Answer | null> {
    const { transactionalId: id, protocol, transactionTimeoutMs } = this.#options
    const ask = <T extends { errorCode: number }>(to: Addressee, api: ApiCall<T>): Promise<T> =>
      this.#deps.kafka.ask(to, api, again)
    const coordinator = { coordinatorOf: 'transaction', id } as const
    switch (request.api) {
      case 'InitProducerId': {
        const { errorCode, ...identity } = await ask(
          coordinator,
          initProducerId(id, transactionTimeoutMs, request.current),
        )
        return { errorCode, identity }
      }
      case 'AddPartitionsToTxn':
        return ask(coordinator, addPartitionsToTxn(id, request.identity, request.places))
      case 'Produce': {
        if (!again) return this.#produce.send(request.place, () => this.#stampedIfAwaited(request))
        const alone = { place: request.place, bytes: this.#stamped(request) }
        const [answer] = await this.#askProduce({ leaderOf: request.place }, [alone], again)
        return answer!
      }
      case 'AddOffsetsToTxn':
        return ask(coordinator, addOffsetsToTxn(id, request.identity, request.marker.group))
      case 'TxnOffsetCommit': {
        const { group, topic, offsets } = request.marker
        const api = txnOffsetCommit(protocol, id, group, request.identity, topic, offsets)
        return ask({ coordinatorOf: 'group', id: group }, api)
      }
      case 'EndTxn':
        return ask(coordinator, endTxn(protocol, id, request.identity, request.commit))
      case 'DescribeTransactions': {
        const { transactions } = await ask(coordinator, describeTransactions([id]))
        const { errorCode, state, producerId, producerEpoch } = transactions[0]!
        return { errorCode, description: `${state}, producer ${producerId}, epoch ${producerEpoch}` }
      }
    }
  }

  /** @returns answers in the order of the batches */
  async #askProduce(to: Addressee, batches: readonly OutgoingBatch[], again: boolean): Promise<readonly Answer[]> {
    const { transactionalId: id, protocol } = this.#options
    const sent = batches.map(({ place, bytes }) => ({ ...place, records: bytes }))
    const { answers } = await this.#deps.kafka.ask(to, produce(protocol, id, sent), again)
    const byPlace = new Map(answers.map((answer) => [nameOf(answer), answer]))
    return batches.map(({ place }) => {
      const answer = byPlace.get(nameOf(place))
      assert(answer !== undefined, `a Produce to ${nameOf(place)} was answered without a word of it`)
      return answer
    })
  }

  #stampedIfAwaited(request: Extract<TransactionRequest, { api: 'Produce' }>): Buffer | null {
    return isAwaited(this.#state, request) && this.#batches.has(request.batch) ? this.#stamped(request) : null
  }

  /** The bytes under the epoch and sequence of the request; a repetition has the same ones. */
  #stamped({ batch, identity, baseSequence }: Extract<TransactionRequest, { api: 'Produce' }>): Buffer {
    const held = this.#batches.get(batch)!
    if (held.bytes === null) {
      held.bytes = held.builder.finish(identity, baseSequence)
      held.stamped?.(held.bytes)
    }
    return held.bytes
  }
}
