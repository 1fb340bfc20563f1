/**
 * The transactional ids of one sink. Each has one transaction at a time:
 *
 * ```
 *  free ──first write──▶ open ──prepare──▶ prepared ──commit(sequence)──▶ free
 * ```
 */
import type { PreparedHandle } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { TransactionLane, type TransactionLaneDeps } from './lane.ts'
import type { Protocol } from './wire/apis.ts'

export interface LanePoolOptions {
  /** The ids are `group.0`, `group.1` … */
  readonly group: string
  readonly poolSize: number
  readonly transactionTimeoutMs: number
}

export interface PooledLane {
  readonly lane: TransactionLane
  state: 'free' | 'open' | 'prepared'
}

export class LanePool {
  readonly #options: LanePoolOptions
  readonly #deps: TransactionLaneDeps
  #lanes: readonly PooledLane[] = []

  constructor(options: LanePoolOptions, deps: TransactionLaneDeps) {
    this.#options = options
    this.#deps = deps
  }

  get prepared(): number {
    return this.#lanes.filter((p) => p.state === 'prepared').length
  }

  /** Every id of the pool, and those of the handles, which may be of a larger pool (PROTOCOL A11, B4). */
  async fence(protocol: Protocol, handleIds: readonly string[]): Promise<void> {
    const { group, poolSize, transactionTimeoutMs } = this.#options
    const ids = new Set([...Array.from({ length: poolSize }, (_, slot) => `${group}.${slot}`), ...handleIds])
    const lanes = [...ids].map(
      (transactionalId) => new TransactionLane({ transactionalId, protocol, transactionTimeoutMs }, this.#deps),
    )
    await Promise.all(lanes.map((lane) => lane.fence()))
    this.#lanes = lanes.slice(0, poolSize).map((lane) => ({ lane, state: 'free' }))
  }

  /** Ends a transaction that another attempt has prepared. False: the broker refuses, which decides nothing (PROTOCOL C8). */
  async endRestored(protocol: Protocol, handle: PreparedHandle): Promise<boolean> {
    const { transactionTimeoutMs } = this.#options
    const { transactionalId, producerEpoch, sequence } = handle
    const identity = { producerId: BigInt(handle.producerId), producerEpoch }
    const options = { transactionalId, protocol, transactionTimeoutMs }
    try {
      await TransactionLane.prepared(options, identity, sequence, this.#deps).commit()
      return true
    } catch (error) {
      if (error instanceof WeirError && error.code === 'COMMIT_REFUSED') return false
      throw error
    }
  }

  /** Null: none is free. */
  take(): PooledLane | null {
    const pooled = this.#lanes.find((p) => p.state === 'free')
    if (pooled === undefined) return null
    pooled.state = 'open'
    return pooled
  }

  /** The first one: recovery writes with it what is to be healed, before anybody takes one. */
  get first(): TransactionLane {
    return this.#lanes[0]!.lane
  }

  of(transactionalId: string): PooledLane {
    return this.#lanes.find((p) => p.lane.transactionalId === transactionalId)!
  }

  async abort(within: AbortSignal): Promise<void> {
    await Promise.all(this.#lanes.map(({ lane }) => lane.abort(within)))
  }
}
